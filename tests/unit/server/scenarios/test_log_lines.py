"""What the log says of a run."""

from __future__ import annotations

import logging

import pytest

from sonda.server.scenarios.log_lines import RunLog


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(record.levelname, record.getMessage()) for record in caplog.records]


def test_a_run_from_its_start_to_its_end(caplog: pytest.LogCaptureFixture) -> None:
    """Each text is said once while it runs, and counted at the end, over all entries."""
    caplog.set_level(logging.INFO, "sonda")
    log = RunLog("r1", "a b", "team")
    log.began(2, None)
    for entry in ("r1.a", "r1.b"):
        log.problem(entry, "refused\nX=1")
    log.problem("r1.a", "silent")
    log.ended(
        {
            "outcome": "completed",
            "ledger": {"planned": None, "delivered": 3, "rejected": 4},
            "scenarios": [
                {"problems": [{"text": "refused", "count": 1}, {"text": "silent", "count": 2}]},
                {"problems": [{"text": "refused", "count": 3}]},
            ],
        }
    )
    who = 'scenario=r1 name="a b" key="team"'
    assert [text.replace(who, "WHO") for _, text in lines(caplog)] == [
        "WHO state=running entries=2 planned=unlimited",
        'WHO entry=r1.a problem="refused\\nX=1"',
        'WHO entry=r1.a problem="silent"',
        "WHO state=finished outcome=completed delivered=3 rejected=4",
        'WHO count=4 problem="refused"',
        'WHO count=2 problem="silent"',
    ]


def test_what_cannot_be_recorded(caplog: pytest.LogCaptureFixture) -> None:
    """An error while it lasts, and a line when it is over."""
    caplog.set_level(logging.INFO, "sonda")
    log = RunLog("r1", "a", "")
    log.unrecorded(OSError("disk full"))
    log.recorded_again()
    assert [level for level, _ in lines(caplog)] == ["ERROR", "INFO"]
    assert lines(caplog)[0][1].endswith("disk full")


def test_a_long_text_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    """A destination's answer does not fill the log."""
    RunLog("r1", "a", "").problem("r1.a", "x" * 100_000)
    [(_, line)] = lines(caplog)
    assert len(line) < 2_000
