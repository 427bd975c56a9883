"""What a worker does with `/scenarios`: check, and forward to the one runner process."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import pickle
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sonda.server.scenarios.refusals import Refusal
from sonda.server.settings import Settings

if TYPE_CHECKING:
    import httpx

    from sonda.pipeline.values.addresses import Address

_CALL_S: Final = 330.0  # a stop drains for five minutes at most
_EVERY_S: Final = 1.0


class RunnerHome:
    """The private folder of a server's runner, made before its workers are forked.

    Every process of the server holds the write end of a pipe: when the last has gone, the runner
    ends.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="sonda-runner-"))
        self.socket = self.folder / "s"
        self.alive_fd, self._held_fd = os.pipe()
        self._owner_pid = os.getpid()

    def close(self) -> None:
        """Let the runner end, and remove the folder; for the process that made it."""
        if os.getpid() == self._owner_pid:
            for fd in (self._held_fd, self.alive_fd):
                with suppress(OSError):
                    os.close(fd)
            shutil.rmtree(self.folder, ignore_errors=True)


def open_runner_home() -> RunnerHome | None:
    """Return a new home, or `None` where no folder can be made: scenarios are then 503."""
    try:
        return RunnerHome()
    except OSError:
        return None


class Gateway:
    """One worker's way to the runner, which it starts where nobody has yet."""

    def __init__(
        self, settings: Settings, listening: Sequence[Address], home: RunnerHome | None
    ) -> None:
        self._settings = settings
        self._listening = tuple(listening)
        self._home = home
        self._client: httpx.AsyncClient | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._starting = asyncio.Lock()

    async def call(
        self,
        method: str,
        path: str,
        params: Mapping[str, str],
        body: bytes = b"",
        content_type: str = "application/json",
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Forward a call; return status, headers and body. Raise `Refusal` where nobody answers."""
        import httpx

        client = await self._connected()
        try:
            answer = await client.request(
                method,
                f"http://runner{path}",
                params=dict(params),
                content=body,
                headers={"Content-Type": content_type},
            )
        except httpx.HTTPError as exc:
            raise Refusal(
                503, f"the runner of scenarios does not answer ({exc}): try again"
            ) from None
        return answer.status_code, answer.headers, answer.content

    async def progress(self, wanted: str, is_ready: Callable[[], bool]) -> AsyncIterator[bytes]:
        """Yield a run's ledger once a second as server-sent events, until it ends or the server does."""
        while is_ready():
            status, _, body = await self.call("GET", f"/scenarios/{wanted}", {})
            if status != 200:  # noqa: PLR2004  # HTTP's OK: it has been forgotten meanwhile
                return
            detail = json.loads(body)
            is_over = detail["state"] == "finished"
            line = json.dumps(detail["ledger"], separators=(",", ":")).encode()
            yield (b"event: end\n" if is_over else b"") + b"data: " + line + b"\n\n"
            if is_over:
                return
            await asyncio.sleep(_EVERY_S)

    async def aclose(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()

    async def _connected(self) -> httpx.AsyncClient:
        import httpx

        if self._home is None:
            raise Refusal(503, "scenarios need a writable folder for temporary files (TMPDIR)")
        async with self._starting:
            if not _answers(self._home.socket):
                await asyncio.to_thread(self._start, self._home)
            if self._client is None:
                transport = httpx.AsyncHTTPTransport(uds=str(self._home.socket))
                self._client = httpx.AsyncClient(
                    transport=transport, timeout=_CALL_S, trust_env=False
                )
        return self._client

    def _start(self, home: RunnerHome) -> None:
        """Start the runner, unless another worker has meanwhile; raise `Refusal`."""
        from sonda.server.scenarios.runner import READY, RunnerSettings

        with (home.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if _answers(home.socket):
                return
            folder = self._settings.state_dir or home.folder
            said_fd, ready_fd = os.pipe()
            given = RunnerSettings(
                self._settings,
                self._listening,
                home.socket,
                folder / "sonda.sqlite3",
                home.alive_fd,
                ready_fd,
            )
            self._process = subprocess.Popen(
                [sys.executable, "-m", "sonda.server.scenarios.runner"],
                stdin=subprocess.PIPE,
                pass_fds=(home.alive_fd, ready_fd),
                start_new_session=True,  # Ctrl-C is for the server, which then ends the runner
            )
            assert self._process.stdin is not None  # noqa: S101  # as asked for
            self._process.stdin.write(pickle.dumps(given))
            self._process.stdin.close()
            os.close(ready_fd)
            with os.fdopen(said_fd, "rb") as said:
                if said.readline() != READY:
                    raise Refusal(503, "the runner of scenarios did not start: the log says why")


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
