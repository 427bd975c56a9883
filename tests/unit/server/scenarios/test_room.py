"""How many entries and events a second a server runs, all runs together."""

from __future__ import annotations

import pytest

from sonda.pipeline.scenarios.plan import Entry
from sonda.server.scenarios.refusals import Refusal
from sonda.server.scenarios.room import Room
from tests.unit.pipeline.scenarios.support import compiled, metric


def entries(count: int, rate: float = 1, **more: object) -> tuple[Entry, ...]:
    each = [metric(name=f"m{n}", rate=rate, **more) for n in range(count)]
    return compiled({"scenarios": each}).unwrap().entries if each else ()


def refusal(
    room: Room, asked: tuple[Entry, ...], in_use: tuple[Entry, ...] = ()
) -> tuple[int, str]:
    with pytest.raises(Refusal) as caught:
        room.check(asked, in_use)
    return caught.value.status, str(caught.value)


def test_there_is_room_to_the_last() -> None:
    """Both limits may be reached."""
    Room(3, 30).check(entries(2, 10), entries(1, 10))
    Room(0, 1).check((), ())


def test_a_document_that_never_fits() -> None:
    """Waiting would not help: it is no matter of what else runs."""
    assert refusal(Room(1, 99), entries(2)) == (
        422,
        "2 entries; this server runs at most 1 (--max-scenarios)",
    )


def test_too_many_entries_for_now() -> None:
    """What is in use is said, and the flag."""
    assert refusal(Room(2, 99), entries(2), entries(1)) == (
        429,
        "1 of 2 entries are in use, 2 more are asked for (--max-scenarios)",
    )


def test_too_many_events_a_second() -> None:
    """Peaks of bursts count, as if all came at once."""
    bursts = {"every": "10s", "for": "1s", "multiplier": 5}
    assert refusal(Room(9, 99), entries(2, 10, bursts=bursts)) == (
        429,
        "0 of 99 events/s are in use, 100 more are asked for (--max-rate)",
    )
