"""Stage 3: what the user should know before the event leaves. It only advises, and never refuses."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

from msgspec.structs import replace
from returns.result import Result, Success

from sonda.pipeline.model import ValidatedEvent
from sonda.pipeline.plugins.lookup import facts_of
from sonda.pipeline.problems import Problem
from sonda.pipeline.text.escape import shown
from sonda.pipeline.values.addresses import (
    address_of,
    is_loopback,
    loopback_addresses,
    parse_http_url,
)
from sonda.pipeline.values.memoize import LONGEST_MEMOIZED, MEMOIZED

MAX_BROKERS: Final = 20
_CREDENTIAL_HEADER: Final = re.compile(
    r"authorization|cookie|token|secret|password|api-?key", re.IGNORECASE
)


def preflight(validated: ValidatedEvent, *, in_server: bool) -> Result[ValidatedEvent, Problem]:
    """Add the advisories, in the contract's order; never fails.

    The one about loopback speaks of the server's container, so it is for servers alone (*in_server*).
    """
    event, sink = validated.event, validated.sink
    advise = _recall if len(sink.identity) <= LONGEST_MEMOIZED else _advise
    warnings = advise(sink.identity, event.signal_type, in_server, any(event.labels.values()))
    return Success(replace(validated, warnings=warnings) if warnings else validated)


def _advise(identity: str, signal: str, in_server: bool, is_labelled: bool) -> tuple[str, ...]:
    options = json.loads(identity)
    sink = options["type"]
    return (
        *(_loopback(signal, sink, options) if in_server else ()),
        *_no_labels(sink, is_labelled),
        *_no_acknowledgement(sink),
        *_password_in_clear(options),
        *_credentials_in_clear(options),
    )


_recall: Final = lru_cache(MEMOIZED)(_advise)


def _loopback(signal: str, sink: str, options: Mapping[str, Any]) -> Iterator[str]:
    targets = _loopback_targets(sink, options)
    for target in targets[:MAX_BROKERS]:
        yield (
            f"scenario entry 'events.{signal}' sink `{sink}` targets "
            f"`{shown(target)}` — this host resolves to the sonda-server container's "
            "own loopback, not your host. Use a Docker Compose service name (e.g. "
            "`victoriametrics:8428`) or a Kubernetes Service DNS name instead. "
            "See docs/deployment/endpoints.md."
        )
    if len(targets) > MAX_BROKERS:
        yield f"and {len(targets) - MAX_BROKERS} more brokers"


def _loopback_targets(sink: str, options: Mapping[str, Any]) -> list[str]:
    """Return those of a sink's targets, as they are written, that lead to loopback."""
    match (facts_of("sink", sink) or {}).get("x-target"):
        case "url" | "endpoint" as option:
            target = options[option]
            return [target] if is_loopback(address_of(parse_http_url(target)).host) else []
        case "address" | "brokers" as option:
            return loopback_addresses(options[option])
        case _:
            return []


def _no_labels(sink: str, is_labelled: bool) -> Iterator[str]:
    if sink == "loki" and not is_labelled:
        yield (
            "Loki files an event without labels under `unknown_service`, where no query by label "
            "finds it: add a label"
        )


def _no_acknowledgement(sink: str) -> Iterator[str]:
    if sink == "udp":
        yield (
            "sink `udp` has no acknowledgement: the event was handed to the network, and nothing "
            "tells whether it arrived"
        )


def _password_in_clear(options: Mapping[str, Any]) -> Iterator[str]:
    if "sasl" in options and not options.get("tls", {"enabled": False}).get("enabled", True):
        yield "SASL without TLS sends the password in clear: add `tls` to the sink"


def _credentials_in_clear(options: Mapping[str, Any]) -> Iterator[str]:
    for field in ("url", "endpoint"):
        target = options.get(field, "")
        if not target.lower().startswith("http://"):
            continue
        if parse_http_url(target).userinfo or any(
            _CREDENTIAL_HEADER.search(name) for name in options.get("headers", {})
        ):
            yield (
                f"credentials travel in clear to `{shown(target)}`: "
                "use https:// so that nobody on the way can read them"
            )
