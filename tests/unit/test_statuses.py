"""Each failure has one HTTP status."""

from __future__ import annotations

import pytest

from sonda.pipeline.problems import (
    DestinationBusy,
    Invalid,
    Malformed,
    NotJson,
    OutcomeUnknown,
    Problem,
    Refused,
    Unreachable,
)
from sonda.statuses import http_status


@pytest.mark.parametrize(
    ("problem", "status"),
    [
        (NotJson("expected value"), 400),
        (Malformed(()), 400),
        (Invalid(()), 422),
        (Unreachable("TCP connect to a:1", "Connection refused"), 502),
        (Refused("POST http://a/", "HTTP 400", ""), 502),
        (DestinationBusy("tcp a:1", 8), 503),
        (OutcomeUnknown("tcp a:1", "within 1s", 0), 504),
    ],
)
def test_status_of_a_problem(problem: Problem, status: int) -> None:
    """Structure is 400, a value 422, a refusal 502, a full destination 503, the unknown 504."""
    assert http_status(problem) == status
