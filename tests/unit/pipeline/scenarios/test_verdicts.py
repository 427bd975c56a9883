"""The verdicts on a group, sorted for the ledger."""

from __future__ import annotations

import pytest

from sonda.pipeline.problems import OutcomeUnknown, Refused, Unreachable
from sonda.pipeline.scenarios.account import text_of
from sonda.pipeline.scenarios.sender import GroupVerdict
from sonda.pipeline.scenarios.verdicts import sampled, sort_ticks

REFUSED = Refused("POST http://a/", "HTTP 400", "")
UNKNOWN = OutcomeUnknown("http://a", "within 1s", 0)
UNSENT = Unreachable("TCP connect to a:1", "Connection refused")


def test_each_tick_has_one_place() -> None:
    """A tick was delivered, is tried again, or stands in a column with its text."""
    verdict = GroupVerdict({1: REFUSED, 2: UNKNOWN, 3: UNSENT, 4: REFUSED})
    found = sort_ticks(range(10, 16), verdict, lambda problem: problem is UNSENT)
    assert list(found.delivered) == [10, 15]
    assert list(found.unsent) == [13]
    assert found.others == {
        ("rejected", text_of(REFUSED)): [11, 14],
        ("unknown", text_of(UNKNOWN)): [12],
    }


@pytest.mark.parametrize("count", [1, 64, 65, 1000])
def test_samples_stand_for_all(count: int) -> None:
    """At most 64 ticks stand for a group, and together for each of its ticks once."""
    samples = list(sampled(range(count)))
    assert len(samples) <= 64
    assert sum(times for _, times in samples) == count
