"""`sonda run --server`: what was not delivered is kept, and what is not kept is said."""

from __future__ import annotations

import asyncio
import json
import stat
from pathlib import Path
from typing import Any, cast

import pytest

from sonda.cli.outcomes import Exit
from sonda.cli.remote_run import _write_undelivered, refused
from sonda.cli.server_runs import ScenarioServer, ServerError


class Made:
    """A server that makes again what it is given."""

    def __init__(self, **made: list[dict[str, Any]]) -> None:
        self.made = made
        self.asked: list[str] = []

    async def undelivered(self, entry: str) -> list[dict[str, Any]]:
        self.asked.append(entry)
        return self.made[entry.partition(".")[2]]


def lines(*ticks: int) -> list[dict[str, Any]]:
    return [{"tick": tick, "outcome": "rejected", "event": {"tick": tick}} for tick in ticks]


def entry(name: str, rejected: int) -> dict[str, Any]:
    return {"id": f"r1.{name}", "ledger": {"rejected": rejected, "unknown": 0, "skipped": 0}}


def write(path: Path, made: Made, *entries: dict[str, Any]) -> None:
    asyncio.run(_write_undelivered(path, cast("ScenarioServer", made), entries))


def test_each_entrys_events_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A server is asked for those of each entry that has any; nobody else may read them."""
    path = tmp_path / "failed.jsonl"
    made = Made(a=lines(0, 1), b=lines(1))
    write(path, made, entry("a", 2), entry("none", 0), entry("b", 1))
    events = [json.loads(line) for line in path.read_text().splitlines()]
    assert events == [{"tick": 0}, {"tick": 1}, {"tick": 1}]
    assert made.asked == ["r1.a", "r1.b"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert capsys.readouterr().err == ""


def test_what_the_server_did_not_make_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It makes a bounded number; a histogram's tick is several events."""
    path = tmp_path / "failed.jsonl"
    write(path, Made(a=lines(0, 0, 0, 1, 1, 1), b=lines(0)), entry("a", 2), entry("b", 3))
    assert capsys.readouterr().err == f"{path} lacks events of b: too many to be kept\n"
    assert len(path.read_text().splitlines()) == 7


def test_a_file_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The run is over and its verdicts are known: that its file is missing is no bug of ours."""
    write(tmp_path, Made(a=lines(0)), entry("a", 1))
    said = capsys.readouterr().err
    assert said == f"cannot write {tmp_path}: Is a directory; it lacks events that failed\n"


def test_a_refusal_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """In words, or as the server's own JSON; what is not printable is an escape."""
    exc = ServerError(Exit.INVALID, "no\x1b[31m", {"error": "not_found", "detail": "no"})
    assert refused(exc, as_json=False) is Exit.INVALID
    assert refused(exc, as_json=True) is Exit.INVALID
    captured = capsys.readouterr()
    assert captured.err == "invalid: no\\u001b[31m\n"
    assert json.loads(captured.out) == exc.answer
