"""What became of an event, in the words of log and metrics."""

from __future__ import annotations

from typing import Any

import pytest
from returns.result import Failure

from sonda.observe.record import became, names_of
from sonda.pipeline.problems import (
    DestinationBusy,
    Invalid,
    OutcomeUnknown,
    Problem,
    Refused,
    Unreachable,
)


@pytest.mark.parametrize(
    ("problem", "word"),
    [
        (Unreachable("TCP connect to a:1", "Connection refused"), "rejected"),
        (Refused("POST http://a/", "HTTP 400", ""), "rejected"),
        (OutcomeUnknown("tcp a:1", "within 1s", 0), "unknown"),
        (Invalid(()), "invalid"),
        (DestinationBusy("tcp a:1", 8), None),
    ],
)
def test_what_became_of_a_failure(problem: Problem, word: str | None) -> None:
    """An event that was not taken on became nothing."""
    assert became(Failure(problem)) == word


@pytest.mark.parametrize(
    ("document", "names"),
    [
        (
            {"signal_type": "logs", "encoder": {"type": "syslog"}, "sink": {"type": "tcp"}},
            ("logs", "syslog", "tcp"),
        ),
        ({}, ("unknown",) * 3),
        ({"signal_type": 1, "encoder": "syslog", "sink": {"type": []}}, ("unknown",) * 3),
        ({"signal_type": "traces", "sink": {"type": "tcp "}}, ("unknown",) * 3),
    ],
)
def test_names(document: dict[str, Any], names: tuple[str, str, str]) -> None:
    """Only names that exist become labels: a caller cannot make any number of series."""
    assert names_of(document) == names
