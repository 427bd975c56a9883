"""Stage 2: a JSON object to an event whose every value some configuration allows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple

import msgspec
from returns.result import Failure, Result, Success

from sonda.pipeline.model import (
    Event,
    Log,
    Metric,
    NamedDestination,
    PluginRef,
    ValidatedEvent,
    Verify,
)
from sonda.pipeline.plugins.extras import need
from sonda.pipeline.plugins.fit import cannot_encode, does_not_fit, other_signal, verify_errors
from sonda.pipeline.plugins.lookup import (
    explaining_options,
    external_plugin,
    facts_of,
    fast_options,
    load,
    names_of,
)
from sonda.pipeline.problems import Invalid, NotJson, Problem, ValidationIssue, missing_extra
from sonda.pipeline.schemas.issues import (
    SchemaError,
    find_issues,
    order_of,
    problem_of,
    schema_error,
    unknown_variant,
)
from sonda.pipeline.schemas.registry import PLUGINS, REQUEST, SYNONYMS, Kind, fast_validator
from sonda.pipeline.targets import destination_of, receiver_of, target_of
from sonda.pipeline.text.escape import quote, variant
from sonda.pipeline.values.durations import LONGEST_S, seconds
from sonda.pipeline.values.memoize import LONGEST_MEMOIZED, MEMOIZED, memoize
from sonda.pipeline.values.timestamps import parse_rfc3339

FindDestination = Callable[[str], NamedDestination | None]
"""Finds a destination of the operator's configuration by its name."""


class Delivering(NamedTuple):
    """What the bodies of one kind for one destination have in common."""

    encoder: PluginRef
    sink: PluginRef
    verify: Verify | None


KINDS: Final[tuple[Kind, Kind]] = ("encoder", "sink")
# What is memoized is looked up by its JSON: Python holds 1, 1.0 and True for equal.
_WRITER: Final = msgspec.json.Encoder()
_REQUIRES: Final[Mapping[Kind, Mapping[str, list[str]]]] = {
    kind: {name: facts["x-requires"] for name, facts in schemas.items() if "x-requires" in facts}
    for kind, schemas in PLUGINS.items()
}


def no_destination(_name: str) -> None:
    """Find no destination: nobody has configured any."""


def validate(
    document: dict[str, Any], *, received_ns: int, destinations: FindDestination = no_destination
) -> Result[ValidatedEvent, Problem]:
    """Return the event that a body describes; fails with `Malformed`, `Invalid` or `NotJson`.

    An event without a timestamp gets *received_ns*, nanoseconds since the epoch. Every issue is
    named, those of structure alone where there are any.
    """
    try:
        if "destination" in document:
            return _named(document, received_ns, destinations)
        shared = _recall(document)
        if shared is None:
            found = _examine(document)
            if not isinstance(found, Success):
                return Failure(found.failure())
            shared = found.unwrap()
        event = _event(document, document["labels"], received_ns)
        return Success(ValidatedEvent(event, shared.encoder, shared.sink, verify=shared.verify))
    except RecursionError:  # nested as deeply as parsing just allows
        return Failure(NotJson("it is nested too deeply"))


def _recall(document: dict[str, Any]) -> Delivering | None:
    """Return where a valid body's event goes, fast; `None` is no verdict."""
    if not fast_validator().is_valid(document):
        return None
    encoder, sink = document["encoder"], document["sink"]
    for kind in KINDS:  # for each event, as an extra may come any time
        name = document[kind]["type"]
        if name in _REQUIRES[kind] and not _is_installed(kind, name):
            return None
    written = _WRITER.encode((document["signal_type"], encoder, sink, document.get("verify")))
    if len(written) > LONGEST_MEMOIZED:
        return _deliver_as(document)
    return _shared(written)


@lru_cache(MEMOIZED)
def _shared(written: bytes) -> Delivering | None:
    names = ("signal_type", "encoder", "sink", "verify")
    return _deliver_as(dict(zip(names, json.loads(written), strict=True)))


def _deliver_as(document: dict[str, Any]) -> Delivering | None:
    """Check and read what events of one kind for one destination have in common."""
    if not all(_is_allowed(kind, document[kind]) for kind in KINDS):
        return None
    if any(_misfits(document)):
        return None
    encoder, sink = (_plugin(kind, document[kind]) for kind in KINDS)
    return Delivering(encoder, sink, _verify(document))


def _is_allowed(kind: Kind, options: dict[str, Any]) -> bool:
    name = options["type"]
    allowed: bool = facts_of(kind, name) is not None and fast_options(kind, name).is_valid(options)
    return allowed


def _examine(document: dict[str, Any]) -> Result[Delivering, Problem]:
    """Explain all that is wrong with a body; slow."""
    from sonda.pipeline.schemas.validators import validator  # jsonschema costs 30 ms to import

    errors = [
        *find_issues(validator(), document),
        *_plugin_errors("encoder", document),
        *_plugin_errors("sink", document),
    ]
    if any(error.structural for error in errors) or not _are_usable(document):
        return _failure(errors)
    errors += _misfits(document)
    if errors:
        return _failure(errors)
    encoder, sink = (_plugin(kind, document[kind]) for kind in KINDS)
    return Success(Delivering(encoder, sink, _verify(document)))


def _are_usable(document: Mapping[str, Any]) -> bool:
    """Return whether both plug-ins can be loaded, the extras that they need aside."""
    return all(facts_of(kind, document[kind]["type"]) is not None for kind in KINDS)


def _failure(errors: list[SchemaError]) -> Result[Any, Problem]:
    problem = problem_of(errors)
    assert problem is not None  # noqa: S101 - nobody comes here without an error
    return Failure(problem)


def _named(
    document: dict[str, Any], received_ns: int, destinations: FindDestination
) -> Result[ValidatedEvent, Problem]:
    """Validate an event for a destination that the operator has configured."""
    if not fast_validator().is_valid(document):
        from sonda.pipeline.schemas.validators import validator

        if errors := find_issues(validator(), document):
            return _failure(errors)
    name = document["destination"]
    destination = destinations(name)
    if destination is None:
        reason = f"there is no destination {quote(name)}"
        return Failure(Invalid((ValidationIssue("destination", reason),)))
    signal = document["signal_type"]
    facts = (destination.encoder.name, destination.sink.name)
    verify = _verify(document)
    if verify is not None and verify.url is None and destination.verify_url:
        verify = Verify(verify.timeout, destination.verify_url)
    errors = [
        *cannot_encode(facts[0], signal),
        *other_signal(destination.sink.name, json.loads(destination.sink.identity), signal),
        *verify_errors(facts[1], json.loads(destination.sink.identity), verify),
    ]
    if errors:
        return _failure(errors)
    labels = {**destination.labels, **document["labels"]}
    return Success(
        ValidatedEvent(
            _event(document, labels, received_ns),
            destination.encoder,
            destination.sink,
            verify=verify,
            destination=destination,
        )
    )


def _plugin_errors(kind: Kind, document: Mapping[str, Any]) -> list[SchemaError]:
    """Check a plug-in's options by its own schema, once the envelope's has found its `type`."""
    options = document.get(kind)
    name = options.get("type") if isinstance(options, dict) else None
    if not isinstance(name, str):
        return []
    if facts_of(kind, name) is not None:
        return find_issues(explaining_options(kind, name), options, kind)
    if external := external_plugin(kind, name):
        reason = f"the plug-in {variant(name)} cannot be used: {getattr(external, 'reason', '')}"
        return [schema_error((kind, "type"), reason)]
    reason = unknown_variant(name, names_of(kind), SYNONYMS[kind])
    return [schema_error((kind, "type"), reason, structural=True)]


def _is_installed(kind: Kind, name: str) -> bool:
    """Return whether a plug-in's extra is there."""
    requires = _REQUIRES[kind].get(name)
    return requires is None or all(need(module) for module in requires)


def _plugin(kind: Kind, written: Mapping[str, Any]) -> PluginRef:
    return _read(json.dumps(_with_integers(written)), kind)


@memoize
def _read(identity: str, kind: Kind) -> PluginRef:
    """Load a plug-in and read its options."""
    options = json.loads(identity)
    name = options["type"]
    plugin = load(kind, name)
    read = msgspec.convert(options, plugin.options)
    if kind == "encoder":
        return PluginRef(name, plugin, read, identity)
    timeout = getattr(read, "timeout", None)  # stdout and file have none of their own
    return PluginRef(
        name,
        plugin,
        read,
        identity,
        target=target_of(name, read),
        destination=destination_of(name, read),
        receiver=receiver_of(name, read, plugin),
        key=(name, msgspec.json.encode(read, order=_order_of(plugin))),
        timeout_s=min(seconds(timeout), LONGEST_S) if timeout else LONGEST_S,
    )


def _order_of(plugin: Any) -> Literal["deterministic"] | None:
    """Return how the names of a map are ordered where options are compared; `None` is as written."""
    return None if plugin.headers_are_ordered else "deterministic"


def _with_integers(value: Any) -> Any:
    """Return options with integers for integral floats: to JSON they are the same."""
    if isinstance(value, dict):
        return {
            name: inner if isinstance(inner, str) else _with_integers(inner)
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [_with_integers(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _misfits(document: Mapping[str, Any]) -> Iterator[SchemaError]:
    """Yield what is wrong only together, and what is not installed."""
    signal, options = document["signal_type"], document["sink"]
    encoder, sink = document["encoder"]["type"], options["type"]
    has_encoder, has_sink = _is_installed("encoder", encoder), _is_installed("sink", sink)
    if has_encoder:
        yield from cannot_encode(encoder, signal)
    else:
        yield _missing("encoder", encoder)
    if not has_sink:
        yield _missing("sink", sink)
    yield from other_signal(sink, options, signal)
    if has_encoder and has_sink:
        yield from does_not_fit(encoder, sink)
    yield from verify_errors(sink, options, _verify(document))


def _missing(kind: Kind, name: str) -> SchemaError:
    issue = missing_extra(kind, name, PLUGINS[kind][name]["x-extra"])
    return SchemaError(order_of((kind,)), structural=False, issue=issue)


def _verify(document: Mapping[str, Any]) -> Verify | None:
    written = document.get("verify")
    return None if written is None else Verify(**written)


def _event(document: Mapping[str, Any], labels: Mapping[str, str], received_ns: int) -> Event:
    timestamp = document.get("timestamp")
    time_ns = received_ns if timestamp is None else parse_rfc3339(timestamp)
    if document["signal_type"] == "metrics":
        metric = document["metric"]
        return Metric(
            name=metric["name"], value=float(metric["value"]), labels=labels, time_ns=time_ns
        )
    log = document["log"]
    return Log(
        message=log["message"],
        severity=_ALIASES.get(log["severity"], log["severity"]),
        labels=labels,
        fields=log.get("fields", {}),
        time_ns=time_ns,
    )


_ALIASES: Mapping[str, Any] = REQUEST["$defs"]["log"]["properties"]["severity"]["x-aliases"]
