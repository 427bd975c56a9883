"""A real `sonda-server` as a subprocess, and raw connections to it."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, Final

import httpx

PATIENCE_S: Final = 60.0  # so long a test waits on a busy machine for what comes soon on another
NO_TLS: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For clients of plain HTTP: httpx would load every CA certificate anew, which takes 30 ms."""
_LISTENING: Final = re.compile(r"listening on http://(\S+):(\d+) ")


@dataclass
class Serving:
    """A server that runs; its standard error is what `log` gives."""

    process: subprocess.Popen[str]
    stdout: IO[bytes]
    host: str = ""
    port: int = 0
    _lines: list[str] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _closed: bool = False

    @property
    def url(self) -> str:
        """Where the server listens."""
        return f"http://{self.host}:{self.port}"

    @property
    def log(self) -> str:
        """All that it has logged so far."""
        return "".join(self._lines)

    @property
    def printed(self) -> bytes:
        """All that it has written to its standard output."""
        self.stdout.seek(0)
        return self.stdout.read()

    def wait_for_log(self, pattern: str) -> re.Match[str]:
        """Wait until a line of the log matches; fails once none can follow."""

        def found() -> re.Match[str] | None:
            return re.search(pattern, self.log)

        with self._changed:
            self._changed.wait_for(lambda: found() or self._closed, PATIENCE_S)
        match = found()
        assert match is not None, f"{pattern!r} is not in the log:\n{self.log}"
        return match

    def wait_for_end_of_log(self) -> None:
        """Wait until no process of this server is left that could log something."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._closed, PATIENCE_S)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, wait until all has been logged, and give the exit status."""
        self.process.send_signal(number)
        status = self.wait()
        self.wait_for_end_of_log()
        return status

    def wait(self) -> int:
        """Wait for the end, and give the exit status."""
        return self.process.wait(PATIENCE_S)

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """Open a connection of one's own."""
        where = (self.host, self.port)
        with (
            socket.create_connection(where, timeout=PATIENCE_S) as raw,
            raw.makefile("rb") as answers,
        ):
            yield Connection(raw, answers)

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Send a request by httpx, on a connection of its own, and return the answer."""
        timeout_s = more.pop("timeout", 60)
        return httpx.request(
            method, f"{self.url}{path}", timeout=timeout_s, verify=NO_TLS, trust_env=False, **more
        )

    def ask(self, request: bytes) -> Reply:
        """Send one request on a connection of its own, and read the answer."""
        with self.connect() as connection:
            connection.send(request)
            return connection.reply()

    def follow(self) -> None:
        """Take in the log line by line, until it ends."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._changed:
                self._lines.append(line)
                self._changed.notify_all()
        with self._changed:
            self._closed = True
            self._changed.notify_all()


@dataclass(frozen=True)
class Reply:
    """One answer, taken apart."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def document(self) -> Any:
        """The body, which must be JSON."""
        assert self.headers["content-type"] == "application/json"
        return json.loads(self.body)


@dataclass(frozen=True)
class Connection:
    """A raw connection: what is sent and read is up to the test."""

    raw: socket.socket
    answers: IO[bytes]

    def send(self, *chunks: bytes) -> None:
        """Send chunks, each in a segment of its own as far as one can tell."""
        self.raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for chunk in chunks:
            self.raw.sendall(chunk)

    def reply(self, method: str = "POST") -> Reply:
        """Read the next final answer."""
        line = self.answers.readline()
        assert line.startswith(b"HTTP/1.1 "), f"no status line: {line!r}"
        status = int(line.split()[1])
        headers = http.client.parse_headers(self.answers)
        if status == 100:
            return self.reply(method)
        length = 0 if method == "HEAD" else int(headers["content-length"])
        return Reply(status, headers, self.answers.read(length))

    def is_closed(self) -> bool:
        """Wait until the server hangs up; fails if it sends something first."""
        try:
            return self.answers.read(1) == b""
        except ConnectionResetError:
            return True

    def end(self) -> None:
        """Send no more, but stay to read."""
        self.raw.shutdown(socket.SHUT_WR)


@contextmanager
def serving(
    *flags: str,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
    pipe: int | None = None,
) -> Iterator[Serving]:
    """Run a server on a free port, with *flags*, until the block ends.

    Its standard output goes to a file, which `printed` reads, or to a *pipe*.
    """
    command = [sys.executable, "-m", "sonda.server", "--port", "0", *flags]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SONDA_")}
    with TemporaryFile() as stdout:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stdout if pipe is None else pipe,
            stderr=subprocess.PIPE,
            text=True,
            env={**clean, **(environ or {})},
            cwd=folder,
            start_new_session=True,
        )
        server = Serving(process, stdout)
        following = threading.Thread(target=server.follow)
        following.start()
        try:
            host, port = server.wait_for_log(_LISTENING.pattern).groups()
            server.host, server.port = host.strip("[]"), int(port)
            yield server
        finally:
            if process.poll() is None:
                process.terminate()
            following.join(PATIENCE_S)
            if following.is_alive():  # a process of this server's own session does not end
                os.killpg(process.pid, signal.SIGKILL)
                following.join()
            process.wait()
            assert process.stderr is not None
            process.stderr.close()
