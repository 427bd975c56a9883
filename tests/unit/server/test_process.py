"""A process is told from every other one, also from a later one that has its id."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sonda.server import process
from sonda.server.process import boot_id, is_alive, process_token


def test_this_process_is_alive() -> None:
    """Its token is the same each time, and begins with its id."""
    assert process_token() == process_token()
    assert process_token().startswith(f"{os.getpid()}:")
    assert is_alive(process_token())


def test_another_process_with_the_same_id_is_another() -> None:
    """The time at which it began, and the boot of the machine, are part of the token."""
    pid, began, boot = process_token().split(":")
    assert boot == boot_id()
    assert not is_alive(f"{pid}:{int(began) + 1}:{boot}")
    assert not is_alive(f"{pid}:{began}:another-boot")


def test_one_that_has_ended_is_not_alive() -> None:
    """Nor is a zombie, whose parent has not noticed."""
    command = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as child:
        token = process._fresh_token(child.pid)
        assert token is not None
        assert is_alive(token)
        assert child.stdin is not None
        child.stdin.close()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it stays a zombie
        assert not is_alive(token)
    assert not is_alive(token)


@pytest.mark.parametrize("raised", [FileNotFoundError, ProcessLookupError])
def test_one_that_ends_while_it_is_looked_at(
    monkeypatch: pytest.MonkeyPatch, raised: type[OSError]
) -> None:
    """Before its file is opened, or after: it has ended, and nothing is raised."""

    def read_text(self: Path, **_: Any) -> str:
        raise raised

    monkeypatch.setattr(Path, "read_text", read_text)
    assert not is_alive("1:2:boot")


def test_where_there_is_no_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    """The id alone must do; a process of somebody else's is alive, too."""

    def kill(pid: int, number: int) -> None:
        assert number == 0
        if pid != 1:
            raise ProcessLookupError if pid == 2 else PermissionError

    def read_text(self: Path, **_: Any) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", read_text)
    monkeypatch.setattr(Path, "exists", lambda _: False)
    monkeypatch.setattr(os, "kill", kill)
    assert [is_alive(token) for token in ("1:", "2:", "3:")] == [True, False, True]
