"""What comes by standard input, and how an interrupted command ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from sonda.cli.interruption import SIGNALS
from tests.support.bodies import LOG, changed
from tests.support.command_line import documents, process, to_http, typed, written
from tests.support.destinations import HttpDestination
from tests.support.serving import PATIENCE_S


@pytest.mark.parametrize("words", [["-"], []])
@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("Deployed\n", "Deployed"),
        ("Deployed", "Deployed"),
        ("a\n\n", "a\n"),
        ("a\r\n", "a\r"),
        (" é\n", " é"),
    ],
)
def test_a_message_from_standard_input(
    home: Path, words: list[str], raw: str, message: str
) -> None:
    """It is read whole, less one final line feed."""
    result = typed("emit", "log", *words, "--to", "file=x.log", stdin=raw.encode())
    assert result.exit_code == 0
    [line] = documents((home / "x.log").read_text())
    assert line["message"] == message


@pytest.mark.parametrize("words", [["-"], []])
@pytest.mark.parametrize(
    ("raw", "reason"),
    [(b"", "is empty"), (b"\n", "is empty"), (b"a\xff", "is not UTF-8 at byte 1")],
)
def test_no_message(home: Path, words: list[str], raw: bytes, reason: str) -> None:
    """A mistake, and nothing is sent."""
    result = typed("emit", "log", *words, "--to", "file=x.log", stdin=raw)
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"'MESSAGE': standard input {reason}" in result.stderr
    assert not (home / "x.log").exists()


def test_a_message_that_is_typed_leaves_standard_input_alone() -> None:
    """A loop that reads a file by standard input keeps the rest of it."""
    script = f"{sys.executable} -m sonda emit log x --to stdout --json; cat"
    run = subprocess.run(
        ["bash", "-c", script], input="rest", capture_output=True, text=True, check=True
    )
    assert run.stdout.endswith("\nrest")


def test_events_from_standard_input(home: Path) -> None:
    """`emit` and `check` read it where no file is named."""
    event = json.dumps(changed(LOG, sink={"type": "file", "path": "x.log"}))
    assert typed("emit", stdin=event).exit_code == 0
    assert typed("check", "-q", stdin=event).output == ""
    piped = typed("emit", "--to", "file=y.log", stdin=event)
    assert piped.exit_code == 0
    assert (home / "x.log").exists()
    assert (home / "y.log").exists()
    empty = typed("emit", "--to", "file=y.log", stdin="")
    assert empty.exit_code == 2
    assert "there is no event in -, the standard input (without a file: " in empty.stderr


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["emit"], "Usage: sonda emit "),
        (["emit", "log"], "Usage: sonda emit log "),
        (["check"], "Usage: sonda check "),
        (["emit", "log", "--to", "stdout"], "Missing argument 'MESSAGE'"),
        (["emit", "--to", "stdout"], "Missing argument 'FILE…'"),
    ],
)
def test_a_terminal_is_not_waited_for(words: list[str], shown: str) -> None:
    """Who types half a command is shown the other half."""
    ours, theirs = os.openpty()
    run = process(*words, stdin=theirs)
    os.close(ours)
    os.close(theirs)
    assert run.returncode == 2
    assert shown in run.stdout + run.stderr


def test_closed_standard_input() -> None:
    """There is nothing to read, and that is said."""
    command = f"{sys.executable} -m sonda emit log --to stdout <&-"
    run = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (2, "")
    assert "standard input is empty" in run.stderr


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_it_early(
    destination: HttpDestination, home: Path, number: signal.Signals
) -> None:
    """Each does what Ctrl-C does: every event has its verdict, and what failed is kept."""
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        url = "http://{}:{}".format(*hanging.getsockname())
        name = written(
            home / "events.jsonl", to_http(destination.url), to_http(url), to_http(destination.url)
        )
        words = ["--concurrency", "1", "--json", "--failed", "failed.jsonl"]
        defaults = [f"--default-signal={one}" for one in ("INT", "HUP", "TERM", "QUIT")]
        with subprocess.Popen(
            ["env", *defaults, sys.executable, "-m", "sonda", "emit", name, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as run:
            peer, _ = hanging.accept()
            with peer:
                assert peer.recv(65536)
                run.send_signal(number)
                stdout, stderr = run.communicate(timeout=PATIENCE_S)
    assert run.returncode == 3
    assert [document.get("error") for document in documents(stdout)] == [
        None,
        "gateway_timeout",
        "service_unavailable",
    ]
    assert stderr.splitlines()[0] == "3 events: 1 delivered, 1 rejected, 1 unknown"
    kept = documents((home / "failed.jsonl").read_text())
    assert [event["sink"]["url"] for event in kept] == [url, destination.url]


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_before_anything_is_sent(number: signal.Signals) -> None:
    """One line, while standard input is waited for and while modules are loaded."""
    early = f"import os; os.kill(os.getpid(), {int(signal.SIGINT)})"
    for script, marker in (("", "ready"), (early, "")):
        code = (
            "import signal, sys, importlib.abc\n"
            "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
            "for name in ('SIGHUP', 'SIGQUIT'):\n"  # a shell's background jobs ignore it
            "    signal.signal(getattr(signal, name), signal.SIG_DFL)\n"
            "class Early(importlib.abc.MetaPathFinder):\n"
            "    def find_spec(self, name, *_):\n"
            "        if name == 'click':\n"
            f"            {script or 'return None'}\n"
            "sys.meta_path.insert(0, Early())\n"
            "import sonda.cli\n"
            "sonda.cli.main()\n"
        )
        with subprocess.Popen(
            [sys.executable, "-c", code, "emit", "log", "-", "--to", "stdout"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as run:
            if marker:
                wait_until_reading(run.pid)
                run.send_signal(number)
            stdout, stderr = run.communicate(timeout=PATIENCE_S)
        assert (run.returncode, stdout, stderr) == (1, "", "interrupted\n")


def wait_until_reading(pid: int) -> None:
    """Wait until a process waits in the system call that reads from its standard input."""
    while not Path(f"/proc/{pid}/syscall").read_text().startswith("0 0x0 "):
        os.sched_yield()


@pytest.mark.parametrize("words", [["schema"], ["--help"], ["completion", "bash"], ["--version"]])
def test_a_full_disk(words: list[str]) -> None:
    """What cannot be printed is said in one line."""
    with Path("/dev/full").open("w") as full:
        run = subprocess.run(
            [sys.executable, "-m", "sonda", *words],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
    assert (run.returncode, run.stderr) == (
        1,
        "cannot write to standard output: No space left on device\n",
    )
