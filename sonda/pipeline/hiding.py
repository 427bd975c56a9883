"""Outcomes of events for a named destination, without what its callers must not see."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, Final, TypeVar

from msgspec import structs
from returns.result import Failure, Result

from sonda.pipeline.interruption import InterruptedGroup, outcomes_of_group
from sonda.pipeline.model import Receipt, ValidatedEvent
from sonda.pipeline.problems import Invalid, Malformed, NotJson, Problem
from sonda.pipeline.text.hidden import HIDDEN
from sonda.pipeline.text.redact import replace_secrets
from sonda.pipeline.wire_preview import Preview, WirePreview

S = TypeVar("S", Receipt, Preview)
T = TypeVar("T")

_OF_THE_BODY: Final = (NotJson, Malformed, Invalid)
_PATH_FACT: Final = "path"
_REQUEST_FACT: Final = "request"


def hide_advisories(validated: ValidatedEvent) -> ValidatedEvent:
    """Return the event with its destination's secrets hidden in the advisories."""
    if validated.destination is None or not validated.warnings:
        return validated
    return structs.replace(
        validated, warnings=_texts(validated.warnings, validated.destination.hidden)
    )


def hide_outcome(outcome: Result[S, Problem], validated: ValidatedEvent) -> Result[S, Problem]:
    """Return an outcome with the destination's secrets hidden in every text of it."""
    if validated.destination is None:
        return outcome
    hidden = validated.destination.hidden
    if isinstance(outcome, Failure):
        return Failure(hide_problem(outcome.failure(), hidden))
    return outcome.map(lambda value: _shown(value, hidden, validated))


def hide_refusal(result: Result[T, Problem], validated: ValidatedEvent) -> Result[T, Problem]:
    """Return a result whose problem, if it is one, shows no secret of the destination."""
    if validated.destination is None or not isinstance(result, Failure):
        return result
    return Failure(hide_problem(result.failure(), validated.destination.hidden))


def hide_group_cancellation(
    exc: asyncio.CancelledError, validated_events: list[ValidatedEvent]
) -> None:
    """Hide the destinations' secrets in what a cancellation says of a group's events."""
    outcomes = outcomes_of_group(exc)
    if outcomes is not None and any(
        validated.destination is not None for validated in validated_events
    ):
        pairs = zip(outcomes, validated_events, strict=True)
        exc.__cause__ = InterruptedGroup([hide_outcome(*pair) for pair in pairs])


def hide_problem(problem: Problem, hidden: Mapping[str, str]) -> Problem:
    """Return a problem without the texts that are hidden; of the body's own nothing is hidden."""
    if isinstance(problem, _OF_THE_BODY):
        return problem
    texts = {
        one.name: replace_secrets(value, hidden)
        for one in fields(problem)
        if isinstance(value := getattr(problem, one.name), str)
    }
    changed: Problem = replace(problem, **texts)  # type: ignore[arg-type]  # its own fields
    return changed


def _shown(value: S, hidden: Mapping[str, str], validated: ValidatedEvent) -> S:
    warnings = _texts(value.warnings, hidden)
    if isinstance(value, Receipt):
        return structs.replace(value, warnings=warnings)
    preview = structs.replace(value.departure, **_wire(value.departure, hidden, validated))
    return replace(value, warnings=warnings, departure=preview)


def _wire(
    wire: WirePreview, hidden: Mapping[str, str], validated: ValidatedEvent
) -> dict[str, Any]:
    """Return the parts of a preview that may show a secret, without it.

    A header that the operator wrote is hidden by its name: its value may be too short to be found.
    """
    headers = getattr(validated.sink.options, "headers", {})
    written = {name.lower() for name in headers}
    is_file = hasattr(validated.sink.options, "path")
    facts = {name: _fact(name, value, hidden) for name, value in wire.facts.items()}
    return {
        "target": HIDDEN if is_file else replace_secrets(wire.target, hidden),
        "facts": facts,
        "headers": tuple(
            (name, HIDDEN if name.lower() in written else replace_secrets(value, hidden))
            for name, value in wire.headers
        ),
    }


def _fact(name: str, value: str | int, hidden: Mapping[str, str]) -> str | int:
    if not isinstance(value, str):
        return value
    if name == _PATH_FACT:
        return HIDDEN
    if name == _REQUEST_FACT:  # POST /a/path HTTP/1.1
        method, _, rest = value.partition(" ")
        return f"{method} /{HIDDEN} {rest.rpartition(' ')[2]}"
    return replace_secrets(value, hidden)


def _texts(texts: tuple[str, ...], hidden: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(replace_secrets(text, hidden) for text in texts)
