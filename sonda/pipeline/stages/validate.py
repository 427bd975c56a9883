"""Stage 2: a JSON object to an order whose every value some configuration allows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias

import msgspec
from returns.result import Failure, Result, Success

from sonda.pipeline import encoders, sinks
from sonda.pipeline.model import Event, Log, Metric, PluginRef, ValidatedEvent
from sonda.pipeline.plugins.extras import need
from sonda.pipeline.problems import Invalid, Malformed, NotJson, Problem, missing_extra
from sonda.pipeline.schemas.issues import SchemaError, find_issues, finding, turn, unknown_variant
from sonda.pipeline.schemas.registry import PLUGINS, REQUEST, Kind, fast_validator
from sonda.pipeline.text.escape import quote
from sonda.pipeline.values.memoize import memoize
from sonda.pipeline.values.timestamps import parse_rfc3339

Pair: TypeAlias = tuple[PluginRef, PluginRef]

# What is recalled is looked up by its JSON: Python holds 1, 1.0 and True for equal.
_WRITER: Final = msgspec.json.Encoder()
_REQUIRES: Final[Mapping[Kind, Mapping[str, list[str]]]] = {
    kind: {name: facts["x-requires"] for name, facts in schemas.items() if "x-requires" in facts}
    for kind, schemas in PLUGINS.items()
}


def validate(document: dict[str, Any], *, received_ns: int) -> Result[ValidatedEvent, Problem]:
    """Check a body and make an order of it; fails with `Malformed`, `Invalid` or `NotJson`.

    An event without a timestamp gets *received_ns*, nanoseconds since the epoch. Every flaw is
    named, those of structure alone where there are any.
    """
    try:
        pair = _recall(document)
        if pair is not None:
            return Success(ValidatedEvent(_event(document, received_ns), *pair))
        return _examine(document).map(
            lambda pair: ValidatedEvent(_event(document, received_ns), *pair)
        )
    except RecursionError:  # nested as deeply as parsing just allows
        return Failure(NotJson("it is nested too deeply"))


def _recall(document: dict[str, Any]) -> Pair | None:
    """Find the encoder and the sink of a valid body fast; `None` is no verdict."""
    if not fast_validator().is_valid(document):
        return None
    encoder, sink = document["encoder"], document["sink"]
    if not _is_installed("encoder", encoder["type"]) or not _is_installed("sink", sink["type"]):
        return None
    return _pair(_WRITER.encode((document["signal_type"], encoder, sink)))


@memoize
def _pair(written: bytes) -> Pair | None:
    """Check and read what events of one kind for one destination have in common."""
    names = ("signal_type", "encoder", "sink")
    document: dict[str, Any] = dict(zip(names, json.loads(written), strict=True))
    kinds: tuple[Kind, Kind] = ("encoder", "sink")
    if not all(_is_allowed(kind, document[kind]) for kind in kinds):
        return None
    encoder, sink = (_chosen(kind, document[kind]) for kind in kinds)
    return None if any(_misfits(document, encoder, sink)) else (encoder, sink)


def _is_allowed(kind: Kind, options: dict[str, Any]) -> bool:
    name = options["type"]
    return name in PLUGINS[kind] and fast_validator(kind, name).is_valid(options)


def _examine(document: dict[str, Any]) -> Result[Pair, Problem]:
    """Name all that is wrong; slow, but it has the words."""
    from sonda.pipeline.schemas.validators import validator  # jsonschema costs 30 ms to import

    flaws = [
        *find_issues(validator(), document),
        *_plugin_flaws("encoder", document),
        *_plugin_flaws("sink", document),
    ]
    if any(found.structural for found in flaws):
        return Failure(Malformed(_in_order(found for found in flaws if found.structural)))
    encoder, sink = _choose("encoder", document), _choose("sink", document)
    flaws += _misfits(document, encoder, sink)
    if flaws or encoder is None or sink is None:
        return Failure(Invalid(_in_order(iter(flaws))))
    return Success((encoder, sink))


def _in_order(flaws: Iterator[SchemaError]) -> tuple[Any, ...]:
    return tuple(found.flaw for found in sorted(flaws, key=lambda found: found.turn))


def _plugin_flaws(kind: Kind, document: Mapping[str, Any]) -> list[SchemaError]:
    """Check a plug-in's options by its own schema, once the envelope's has found its `type`."""
    options = document.get(kind)
    name = options.get("type") if isinstance(options, dict) else None
    if not isinstance(name, str):
        return []
    if name not in PLUGINS[kind]:
        reason = unknown_variant(name, PLUGINS[kind])
        return [finding((kind, "type"), reason, structural=True)]
    from sonda.pipeline.schemas.validators import validator

    return find_issues(validator(kind, name), options, kind)


def _choose(kind: Kind, document: Mapping[str, Any]) -> PluginRef | None:
    """Load a plug-in and read its options; `None` if its extra is not installed."""
    options: Mapping[str, Any] = document[kind]
    return _chosen(kind, options) if _is_installed(kind, options["type"]) else None


def _is_installed(kind: Kind, name: str) -> bool:
    """Tell whether a plug-in's extra is there; asked for each event, as one may come any time."""
    requires = _REQUIRES[kind].get(name)
    return requires is None or all(need(module) for module in requires)


def _chosen(kind: Kind, written: Mapping[str, Any]) -> PluginRef:
    return _read(json.dumps(_with_integers(written)), kind)


@memoize
def _read(identity: str, kind: Kind) -> PluginRef:
    """Load a plug-in and read its options; the same options are one and the same object."""
    options = json.loads(identity)
    name = options["type"]
    plugin = encoders.load(name) if kind == "encoder" else sinks.load(name)
    return PluginRef(name, plugin, msgspec.convert(options, plugin.options), identity)


def _with_integers(value: Any) -> Any:
    """Turn integral floats into integers: JSON knows no difference."""
    if isinstance(value, dict):
        return {name: _with_integers(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_with_integers(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _misfits(
    document: Mapping[str, Any], encoder: PluginRef | None, sink: PluginRef | None
) -> Iterator[SchemaError]:
    """Name what is wrong only together, and what is not installed."""
    if encoder is None:
        yield _missing("encoder", document)
    elif document["signal_type"] not in _facts("encoder", document)["x-signals"]:
        yield _cannot_encode(document)
    if sink is None:
        yield _missing("sink", document)
    yield from _other_signal(document)
    if encoder and sink:
        payload = _facts("encoder", document)["x-payload"]
        if payload not in _facts("sink", document)["x-payloads"]:
            yield _does_not_fit(document)


def _facts(kind: Kind, document: Mapping[str, Any]) -> Mapping[str, Any]:
    return PLUGINS[kind][document[kind]["type"]]


def _missing(kind: Kind, document: Mapping[str, Any]) -> SchemaError:
    name, extra = document[kind]["type"], _facts(kind, document)["x-extra"]
    return SchemaError(turn((kind,)), structural=False, flaw=missing_extra(kind, name, extra))


def _cannot_encode(document: Mapping[str, Any]) -> SchemaError:
    name, signal = document["encoder"]["type"], document["signal_type"]
    able = [name for name, facts in PLUGINS["encoder"].items() if signal in facts["x-signals"]]
    return finding(
        ("encoder", "type"), f"'{name}' cannot encode {signal}; these can: {', '.join(able)}"
    )


def _other_signal(document: Mapping[str, Any]) -> Iterator[SchemaError]:
    """Hold an option that says what the sink is sent against the event."""
    option, signal = _facts("sink", document).get("x-signal-option"), document["signal_type"]
    if option and (promised := document["sink"][option]) != signal:
        reason = f"invalid value {quote(promised)}: must be the event's, {quote(signal)}"
        yield finding(("sink", option), reason)


def _does_not_fit(document: Mapping[str, Any]) -> SchemaError:
    encoder, sink = document["encoder"]["type"], document["sink"]["type"]
    takes = _facts("sink", document)["x-payloads"]
    fitting = [name for name, facts in PLUGINS["encoder"].items() if facts["x-payload"] in takes]
    return finding(
        ("sink", "type"),
        f"'{sink}' does not take what encoder '{encoder}' makes; these fit: {', '.join(fitting)}",
    )


def _event(document: Mapping[str, Any], received_ns: int) -> Event:
    timestamp = document.get("timestamp")
    time_ns = received_ns if timestamp is None else parse_rfc3339(timestamp)
    labels = document["labels"]
    if document["signal_type"] == "metrics":
        metric = document["metric"]
        return Metric(
            name=metric["name"], value=float(metric["value"]), labels=labels, time_ns=time_ns
        )
    log = document["log"]
    severity = _ALIASES.get(log["severity"], log["severity"])
    return Log(
        message=log["message"],
        severity=severity,
        labels=labels,
        fields=log.get("fields", {}),
        time_ns=time_ns,
    )


_ALIASES: Mapping[str, Any] = REQUEST["$defs"]["log"]["properties"]["severity"]["x-aliases"]
