"""`sonda wrap`: the events around a command, its status, its output and its signals."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.command_line import documents, process
from tests.support.serving import PATIENCE_S


def wrapped(home: Path, *command: str, words: tuple[str, ...] = ()) -> tuple[Any, list[Any]]:
    """Run a wrapped command; return how it ended, and the events."""
    run = process("wrap", "--to", "file=x.log", "--name", "deploy", *words, "--", *command)
    path = home / "x.log"
    return run, documents(path.read_text()) if path.exists() else []


def test_start_and_end(home: Path) -> None:
    """Both events say what it was, the end how it went; the output is the command's own."""
    run, (start, end) = wrapped(
        home, "sh", "-c", "echo out; echo err >&2", words=("-l", "env=prod")
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "out\n", "err\n")
    assert (start["message"], start["fields"]) == ("deploy started", {"event": "start"})
    assert start["labels"] == {"env": "prod", "name": "deploy"}
    assert (end["message"], end["severity"]) == ("deploy succeeded", "info")
    assert end["fields"]["status"] == "0"
    assert int(end["fields"]["duration_ms"]) >= 0


def test_a_failure_keeps_status_and_last_line(home: Path) -> None:
    """The status is the command's own."""
    run, (_, end) = wrapped(home, "sh", "-c", "echo no such host >&2; exit 7")
    assert run.returncode == 7
    assert (end["severity"], end["message"]) == ("error", "deploy failed with status 7")
    assert end["fields"]["last_line"] == "no such host"


@pytest.mark.parametrize(("command", "status"), [("/no/such/file", 127), ("/etc/passwd", 126)])
def test_a_command_that_cannot_run(home: Path, command: str, status: int) -> None:
    """As a shell has it."""
    run, (_, end) = wrapped(home, command)
    assert run.returncode == status
    assert end["fields"]["last_line"].startswith(f"{command}: ")


def test_a_trace_is_kept(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`TRACEPARENT` reaches the command, and stands in both events."""
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    monkeypatch.setenv("TRACEPARENT", trace)
    run, events = wrapped(home, "sh", "-c", "echo $TRACEPARENT")
    assert run.stdout == f"{trace}\n"
    assert [event["fields"]["traceparent"] for event in events] == [trace, trace]


@pytest.mark.parametrize(("words", "status"), [((), 0), (("--strict",), 1)])
def test_an_event_that_is_not_delivered(words: tuple[str, ...], status: int) -> None:
    """It never fails the command, unless that is asked for."""
    run = process("wrap", "--to", "tcp=127.0.0.1:1", *words, "--", "echo", "done")
    assert (run.returncode, run.stdout) == (status, "done\n")
    assert run.stderr.count("sonda wrap: rejected: sink error: TCP connect") == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_signals_are_passed_on(home: Path, number: signal.Signals) -> None:
    """The command decides what they mean; the end is told all the same."""
    script = (
        f"trap 'echo trapped; exit 5' {number.name[3:]}; echo ready; while :; do sleep 0.05; done"
    )
    defaults = [f"--default-signal={one}" for one in ("INT", "HUP", "TERM")]
    command = [
        sys.executable,
        "-m",
        "sonda",
        "wrap",
        "--to",
        "file=x.log",
        "--",
        "sh",
        "-c",
        script,
    ]
    with subprocess.Popen(
        ["env", *defaults, *command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "ready\n"
        run.send_signal(number)
        assert run.stdout.read() == "trapped\n"
        assert run.wait(PATIENCE_S) == 5
    assert json.loads((home / "x.log").read_text().splitlines()[1])["fields"]["status"] == "5"


def test_a_command_that_is_killed(home: Path) -> None:
    """128 and the number of the signal, as a shell has it."""
    run, (_, end) = wrapped(home, "sh", "-c", "kill -9 $$")
    assert run.returncode == 137
    assert end["fields"]["status"] == "137"
