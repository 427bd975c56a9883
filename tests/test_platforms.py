"""Library and command line where a platform lacks what Linux has.

Nothing is run on Windows or macOS: what they lack is taken away here.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.support.bodies import LOG, changed
from tests.support.destinations import http_destination, tcp_destination

WINDOWS: Final = {
    "modules": ["uvloop", "fcntl", "termios", "pwd", "grp", "resource", "pty", "tty", "syslog"],
    "os": [
        *("O_NONBLOCK", "O_CLOEXEC", "O_NOCTTY", "O_NOFOLLOW", "O_DIRECTORY", "O_PATH", "O_SYNC"),
        *("register_at_fork", "fork", "getuid", "geteuid", "getgid", "getegid", "getgroups"),
        *("fchmod", "fchown", "chown", "lchown", "pread", "pwrite", "readv", "writev", "uname"),
        *("sched_getaffinity", "getloadavg", "mkfifo", "openpty", "sendfile", "setsid", "setpgid"),
        *("getpgid", "getpgrp", "tcgetpgrp", "killpg", "nice", "statvfs", "fdatasync", "pipe2"),
        *("WNOHANG", "WIFEXITED", "wait", "sysconf", "memfd_create", "pidfd_open"),
    ],
    "signal": [
        *("SIGHUP", "SIGPIPE", "SIGUSR1", "SIGUSR2", "SIGKILL", "SIGALRM", "SIGCHLD", "SIGTSTP"),
        *("SIGCONT", "SIGWINCH", "SIGQUIT", "pthread_sigmask", "sigwait", "setitimer"),
    ],
    "socket": ["TCP_USER_TIMEOUT", "TCP_INFO", "SO_REUSEPORT", "MSG_DONTWAIT"],
    "select": [
        *("poll", "epoll", "PIPE_BUF", "POLLIN", "POLLOUT", "POLLERR", "POLLHUP", "POLLRDHUP"),
    ],
    "folders": ["closed"],
}
MACOS: Final = {
    "modules": [],
    "os": ["O_PATH", "sched_getaffinity", "pipe2", "memfd_create", "pidfd_open", "fdatasync"],
    "signal": [],
    "socket": ["TCP_USER_TIMEOUT", "TCP_INFO", "MSG_NOSIGNAL"],
    "select": ["epoll", "POLLRDHUP"],
    "folders": [],
}
HIDE: Final = """
import asyncio, logging, multiprocessing, os, random, select, selectors, shutil, signal, socket
import ssl, subprocess, sys, tempfile, threading  # they ask for the platform themselves
for name in LACKS["modules"]:
    sys.modules[name] = None
for module in (os, signal, socket, select):
    for name in LACKS[module.__name__]:
        vars(module).pop(name, None)
opens, makes = os.open, os.mkdir
def open_(path, flags, mode=0o777, *, dir_fd=None):
    if dir_fd is not None:
        raise NotImplementedError("dir_fd unavailable on this platform")
    if os.path.isdir(path):
        raise PermissionError(13, "Permission denied", path)
    return opens(path, flags, mode)
def mkdir(path, mode=0o777, *, dir_fd=None):
    if dir_fd is not None:
        raise NotImplementedError("dir_fd unavailable on this platform")
    makes(path, mode)
if LACKS["folders"]:
    os.open, os.mkdir = open_, mkdir
"""


def run(platform: dict[str, list[str]], code: str, folder: Path) -> str:
    """Run *code* in a Python that lacks what *platform* does; return what it prints."""
    text = f"LACKS = {platform!r}\n{HIDE}\n{code}"
    command = [sys.executable, "-c", text]
    ended = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture(params=[WINDOWS, MACOS], ids=["windows", "macos"])
def platform(request: pytest.FixtureRequest) -> dict[str, list[str]]:
    found: dict[str, list[str]] = request.param
    return found


@pytest.mark.parametrize(
    "code",
    [
        "import sonda; print([getattr(sonda, name) for name in sonda.__all__])",
        f"import sonda; sonda.send({changed(LOG, sink={'type': 'stdout'})!r})",
        f"import sonda; print(sonda.emit({LOG!r}))",
        "from sonda.cli import main; sys.argv = ['sonda', '--version']; main()",
        "from sonda.cli import main; sys.argv = ['sonda', 'emit', 'log', 'x', '--to', 'stdout']; main()",
        "from sonda.cli import main; sys.argv = ['sonda', 'schema', 'sink', 'loki']; main()",
        f"import sonda; print(sonda.preview({LOG!r}))",
    ],
)
def test_what_a_platform_lacks_is_not_needed(
    platform: dict[str, list[str]], code: str, tmp_path: Path
) -> None:
    """Nothing asks for a module, a signal, a flag or a call that is not there."""
    assert run(platform, code, tmp_path)


def test_a_file_is_written_and_read_back(platform: dict[str, list[str]], tmp_path: Path) -> None:
    """Folders are made, lines stand one behind the other, and `verify` finds them."""
    event = changed(LOG, sink={"type": "file", "path": "made/here/x.log"})
    code = f"""
import sonda
for number in range(2):
    print(sonda.send({event!r}, verify="5s").verified)
for result in sonda.emit_many([{event!r}] * 3):
    print(result.unwrap().confirmed)
"""
    assert run(platform, code, tmp_path).split() == ["True", "True", *["accepted"] * 3]
    lines = (tmp_path / "made" / "here" / "x.log").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["message"] for line in lines] == ["Deploy started"] * 5


def test_sockets_tell_what_became_of_an_event(
    platform: dict[str, list[str]], tmp_path: Path
) -> None:
    """A connection that is kept is used again; a refusal and a closed port are told."""
    with http_destination() as http_server, tcp_destination() as tcp_server:
        http = changed(LOG, sink={"type": "http_push", "url": http_server.url})
        tcp = changed(LOG, sink={"type": "tcp", "address": tcp_server.address})
        code = f"""
import sonda
for event in ({http!r}, {tcp!r}, {LOG!r}):
    for result in sonda.emit_many([event] * 3, concurrency=1):
        print(type(result).__name__)
"""
        assert run(platform, code, tmp_path).split() == [*["Success"] * 6, *["Failure"] * 3]
        assert len(http_server.posts.items) == 3
        assert {len(set(one.connections.items)) for one in (http_server, tcp_server)} == {1}


def test_a_named_destination_without_owners(platform: dict[str, list[str]], tmp_path: Path) -> None:
    """Where files have no owner a configuration cannot be somebody else's."""
    (tmp_path / "sonda.toml").write_text('[destinations.out]\nsink = {type = "stdout"}\n')
    code = "from sonda.cli import main; sys.argv = ['sonda', 'emit', 'log', 'x', '--to', 'out']; main()"
    assert run(platform, code, tmp_path)
