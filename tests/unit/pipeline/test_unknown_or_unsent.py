"""A 504 is told from a 502 in one place: by whether a byte of the event has left."""

from __future__ import annotations

import pytest

from sonda.pipeline.problems import OutcomeUnknown, Problem, Unreachable
from sonda.pipeline.unknown_or_unsent import cut_off, unknown_or_unsent
from sonda.statuses import http_status


@pytest.mark.parametrize(
    ("has_left", "expected"),
    [
        (True, OutcomeUnknown("tcp a:1", "within 1s", 7)),
        (False, Unreachable("TCP connect to a:1", "timed out after 1s")),
    ],
)
def test_what_has_left_is_unknown(has_left: bool, expected: Problem) -> None:
    """What has left may have come; what has not left was not sent."""
    problem = unknown_or_unsent(
        "tcp a:1",
        "TCP connect to a:1",
        has_left=has_left,
        time_ns=7,
        unknown="within 1s",
        unsent="timed out after 1s",
    )
    assert problem == expected


@pytest.mark.parametrize(("has_left", "status"), [(True, 504), (False, 502)])
def test_status(has_left: bool, status: int) -> None:
    """A delivery that is cut off is answered with a 504 once a byte has left, else with a 502."""
    assert http_status(cut_off("tcp a:1", "TCP connect", has_left=has_left, time_ns=0)) == status


def test_reason_of_a_cut() -> None:
    """Both reasons say that the delivery was cut off."""
    texts = [
        str(cut_off("tcp a:1", "connect", has_left=has_left, time_ns=0))
        for has_left in (True, False)
    ]
    assert all("its delivery was cut off" in text for text in texts)
