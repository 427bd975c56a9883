"""Stage 3: what the user should know before the event leaves. It only advises, it never refuses."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from returns.result import Result, Success

from sonda.pipeline.model import ValidatedEvent
from sonda.pipeline.problems import Problem
from sonda.pipeline.text.escape import shown
from sonda.pipeline.values.addresses import address_of, is_loopback, parse_address, parse_http_url
from sonda.pipeline.values.memoize import memoize

_CREDENTIAL_HEADER: Final = re.compile(
    r"authorization|cookie|token|secret|password|api-?key", re.IGNORECASE
)


def preflight(order: ValidatedEvent, *, in_server: bool) -> Result[ValidatedEvent, Problem]:
    """Add the advisories, in the contract's order; never fails.

    The loopback one speaks of the server's container, so it is for servers alone (*in_server*).
    """
    signal = order.event.signal_type
    warnings = _advice(order.sink.identity, signal, in_server)
    advised = (
        ValidatedEvent(order.event, order.encoder, order.sink, warnings) if warnings else order
    )
    return Success(advised)


@memoize
def _advice(identity: str, signal: str, in_server: bool) -> tuple[str, ...]:
    options = json.loads(identity)
    sink = options["type"]
    return (
        *(_loopback(signal, sink, options) if in_server else ()),
        *_no_acknowledgement(sink),
        *_password_in_clear(options),
        *_credentials_in_clear(options),
    )


def _loopback(signal: str, sink: str, options: Mapping[str, Any]) -> Iterator[str]:
    for target, host in _targets(options):
        if is_loopback(host):
            yield (
                f"scenario entry 'events.{signal}' sink `{sink}` targets "
                f"`{shown(target)}` — this host resolves to the sonda-server container's "
                "own loopback, not your host. Use a Docker Compose service name (e.g. "
                "`victoriametrics:8428`) or a Kubernetes Service DNS name instead. "
                "See docs/deployment/endpoints.md."
            )


def _targets(options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Find what a sink points at, as it is written, each with its host."""
    for field in ("url", "endpoint"):
        if field in options:
            yield options[field], address_of(parse_http_url(options[field])).host
    if "address" in options:
        yield options["address"], parse_address(options["address"]).host
    for broker in map(str.strip, options.get("brokers", "").split(",")):
        if broker:
            yield broker, parse_address(broker).host


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
