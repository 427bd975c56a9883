"""A plan as JSON has it: what a dry run answers."""

from __future__ import annotations

from base64 import b64encode
from functools import partial
from typing import Any, Final

from sonda.pipeline.hiding import hide_outcome
from sonda.pipeline.net import Network
from sonda.pipeline.result import fold
from sonda.pipeline.scenarios.numbers import as_number
from sonda.pipeline.scenarios.plan import Entry, Scenario
from sonda.pipeline.stages.encode import encode
from sonda.pipeline.stages.preview import preview

_SHOWN_EVENTS: Final = 5


def plan_document(scenario: Scenario, network: Network) -> dict[str, Any]:
    """Return a scenario's plan as JSON has it; nothing is opened."""
    document: dict[str, Any] = {
        "scenarios": [_entry_document(one, network) for one in scenario.entries]
    }
    return {**document, **({"warnings": scenario.warnings} if scenario.warnings else {})}


def _entry_document(entry: Entry, network: Network) -> dict[str, Any]:
    count = _SHOWN_EVENTS if entry.planned is None else min(_SHOWN_EVENTS, entry.planned)
    validated_events = [entry.route.validated_event(event) for event in entry.events(range(count))]
    encoded = [encode(validated) for validated in validated_events]
    bodies = [fold(one, lambda found: found.payload.body, lambda _: b"") for one in encoded]
    described = hide_outcome(
        encoded[0].bind(partial(preview, network=network)), validated_events[0]
    )
    ends_at = entry.ends_at
    return {
        "id": entry.id,
        "planned": entry.planned,
        **({} if entry.after is None else {"starts_at_s": as_number(entry.phase)}),
        "ends_at_s": None if ends_at is None else as_number(ends_at),
        "series": entry.series,
        **({} if entry.rewritten is None else {"rewritten": entry.rewritten}),
        "events": [_text(body) for body in bodies],
        "preview": fold(
            described, lambda found: found.document(), lambda problem: {"error": str(problem)}
        ),
    }


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return b64encode(body).decode("ascii")
