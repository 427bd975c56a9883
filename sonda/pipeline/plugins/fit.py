"""Which encoder, sink and signal fit together: the one place that knows, from the schemas' facts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sonda.pipeline.model import Verify
from sonda.pipeline.plugins.lookup import facts_of
from sonda.pipeline.schemas.issues import SchemaError, schema_error
from sonda.pipeline.schemas.registry import PLUGINS, Kind, Schema
from sonda.pipeline.text.escape import quote
from sonda.pipeline.values.addresses import parse_http_url


def _facts(kind: Kind, name: str) -> Schema:
    """Return the facts of a plug-in that a body may name: validation has found it before."""
    return facts_of(kind, name) or {}


def encoders_of_signal(signal: str) -> list[str]:
    """Return the names of the encoders that can encode *signal*."""
    return [name for name, facts in PLUGINS["encoder"].items() if signal in facts["x-signals"]]


def encoders_of_sink(sink: str) -> list[str]:
    """Return the names of the encoders that make what *sink* takes."""
    takes = _facts("sink", sink)["x-payloads"]
    return [name for name, facts in PLUGINS["encoder"].items() if facts["x-payload"] in takes]


def default_encoder(sink: str) -> dict[str, str]:
    """Return the encoder for *sink* where nobody chose: `json_lines`, else the only one that fits."""
    fitting = encoders_of_sink(sink)
    return {"type": "json_lines" if "json_lines" in fitting else fitting[0]}


def sinks_of_encoder(encoder: str) -> list[str]:
    """Return the names of the sinks that take what *encoder* makes."""
    payload = _facts("encoder", encoder)["x-payload"]
    return [name for name, facts in PLUGINS["sink"].items() if payload in facts["x-payloads"]]


def cannot_encode(encoder: str, signal: str) -> Iterator[SchemaError]:
    """Yield what is wrong where *encoder* cannot encode *signal*."""
    if signal not in _facts("encoder", encoder)["x-signals"]:
        able = ", ".join(encoders_of_signal(signal))
        reason = f"'{encoder}' cannot encode {signal}; these can: {able}"
        yield schema_error(("encoder", "type"), reason)


def does_not_fit(encoder: str, sink: str) -> Iterator[SchemaError]:
    """Yield what is wrong where *sink* does not take what *encoder* makes."""
    fitting = encoders_of_sink(sink)
    if _facts("encoder", encoder)["x-payload"] not in _facts("sink", sink)["x-payloads"]:
        reason = (
            f"'{sink}' does not take what encoder '{encoder}' makes; "
            f"these fit: {', '.join(fitting)}"
        )
        yield schema_error(("sink", "type"), reason)


def other_signal(sink: str, options: Mapping[str, Any], signal: str) -> Iterator[SchemaError]:
    """Yield what is wrong where an option of the sink's says which signal it is sent."""
    option = _facts("sink", sink).get("x-signal-option")
    if option and (promised := options[option]) != signal:
        reason = f"invalid value {quote(promised)}: must be the event's, {quote(signal)}"
        yield schema_error(("sink", option), reason)


def verify_errors(
    sink: str, options: Mapping[str, Any], verify: Verify | None
) -> Iterator[SchemaError]:
    """Yield what is wrong where the events of *sink* cannot be read back as *verify* asks."""
    if verify is None:
        return
    facts = _facts("sink", sink)
    if "x-verify" not in facts:
        yield schema_error(
            ("verify",), f"'{sink}' cannot be read back; these can: {_verifiable('place', 'url')}"
        )
    elif verify.url is not None and facts["x-verify"] != "url":
        reason = f"'{sink}' has no query API; these have: {_verifiable('url')}"
        yield schema_error(("verify", "url"), reason)
    elif verify.url is None and (suffix := facts.get("x-verify-suffix")):
        try:
            path = parse_http_url(options[facts["x-target"]]).path
        except ValueError:
            return  # that is an issue of its own
        if not path.removesuffix("/").endswith(suffix):  # as `query_base` reads it
            reason = f"the sink's URL does not end in {suffix}: verify.url must say where to ask"
            yield schema_error(("verify",), reason)


def _verifiable(*kinds: str) -> str:
    sinks = PLUGINS["sink"].items()
    return ", ".join(name for name, facts in sinks if facts.get("x-verify") in kinds)
