"""`sonda wrap`: the events around a command, its status, its output and its signals."""

from __future__ import annotations

import json
import os
import signal
import socket
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


def test_what_is_left_in_the_background_is_not_waited_for(home: Path) -> None:
    """A program that the command has started may keep its output open."""
    run, (_, end) = wrapped(home, "sh", "-c", "sleep 600 & echo $!; exit 4")
    os.kill(int(run.stdout), signal.SIGKILL)
    assert run.returncode == 4
    assert end["fields"]["status"] == "4"


def test_a_line_is_passed_on_before_it_ends(home: Path) -> None:
    """A prompt is read before it is answered, so it cannot wait for its line feed."""
    command = [sys.executable, "-m", "sonda", "wrap", "--to", "file=x.log", "--"]
    script = 'printf "sure? "; read answer; echo "$answer, it is"; exit 1'
    with subprocess.Popen(
        [*command, "sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as run:
        assert run.stdin is not None
        assert run.stdout is not None
        assert run.stdout.read(6) == b"sure? "
        run.stdin.write(b"yes\n")
        run.stdin.flush()
        assert run.stdout.read() == b"yes, it is\n"
        assert run.wait(PATIENCE_S) == 1
    end = documents((home / "x.log").read_text())[1]
    assert end["fields"]["last_line"] == "sure? yes, it is"


@pytest.mark.parametrize(
    ("script", "last_line"),
    [
        ("printf 'a\\nb\\n\\n  \\n'", "b"),
        ("printf '10%%\\r20%%\\r'", "20%"),
        ("printf a; sleep 0.1; printf '\\n'; sleep 0.1; printf b", "b"),
        ("true", None),
    ],
)
def test_the_last_line(home: Path, script: str, last_line: str | None) -> None:
    """It is the last that is not blank, as a terminal shows it."""
    _, (_, end) = wrapped(home, "sh", "-c", f"{script}; exit 1")
    assert end["fields"].get("last_line") == last_line


def test_output_is_whole_and_unchanged(home: Path) -> None:
    """However much it is, and whatever bytes."""
    script = "import os; os.write(1, b'\\xff\\0' * 500_000)"
    command = [sys.executable, "-m", "sonda", "wrap", "--to", "file=x.log", "--", sys.executable]
    run = subprocess.run(
        [*command, "-c", script], capture_output=True, check=True, timeout=PATIENCE_S
    )
    assert run.stdout == b"\xff\0" * 500_000


def test_the_status_stands_where_nobody_reads(home: Path) -> None:
    """A closed standard error takes no message, and fails nothing."""
    command = f"{sys.executable} -m sonda wrap --to tcp=127.0.0.1:1 -- sh -c 'exit 6' 2>&-"
    run = subprocess.run(["sh", "-c", command], timeout=PATIENCE_S, check=False)
    assert run.returncode == 6


def test_a_signal_before_the_command_starts_it_never(home: Path) -> None:
    """Who interrupts the first event does not want the command."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        to = f"http_push=http://127.0.0.1:{silent.getsockname()[1]}"
        command = [sys.executable, "-m", "sonda", "wrap", "--to", to, "--", "touch", "ran"]
        with subprocess.Popen(command, stderr=subprocess.PIPE) as run:
            peer, _ = silent.accept()
            with peer:
                peer.recv(1)
                run.send_signal(signal.SIGTERM)
                assert run.wait(PATIENCE_S) == 130
    assert not (home / "ran").exists()
