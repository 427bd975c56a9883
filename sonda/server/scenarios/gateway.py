"""What a worker does with `/scenarios`: check, and forward to the one runner process."""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import os
import pickle
import select
import ssl
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import unquote
from uuid import uuid4

from sonda.envelope import envelope
from sonda.pipeline.net.threads import in_thread
from sonda.pipeline.policy.callers import Caller
from sonda.pipeline.scenarios.states import Outcome
from sonda.pipeline.text.compact_json import compact
from sonda.server.live_config import LiveConfig
from sonda.server.scenarios.execution import answers, execute
from sonda.server.scenarios.refusals import AnswerLost, Refusal
from sonda.server.scenarios.runner_home import RunnerHome
from sonda.server.scenarios.submission import FORGOTTEN, Submission, viewer_headers
from sonda.server.settings import Settings
from sonda.server.state import DATABASE

if TYPE_CHECKING:
    import httpx

    from sonda.pipeline.values.addresses import Address

_CONNECT_S: Final = 2.0
_ANSWER_S: Final = 10.0  # beside what a stop may take
_COMPILE_S: Final = 30.0  # of a document with as many entries as there may be
_STATUS_S: Final = 0.5
_STUCK_S: Final = 5.0  # without a sign of life
_START_S: Final = 20.0
_EVERY_S: Final = 1.0
_LOOKS: Final = 10  # in a second, for the end of the server
_STABLE_S: Final = 10.0
_BACKOFF_S: Final = (0.0, 0.5, 1.0, 2.0, 5.0)
_ASK_AGAIN_S: Final = 0.2
_OK: Final = 200
_NOT_FOUND: Final = 404
_LOG: Final = logging.getLogger("sonda")

Answer: TypeAlias = tuple[int, Mapping[str, str], bytes]
"""Status, headers and body."""


class Gateway:
    """One worker's way to the runner, which it starts where nobody has yet.

    It is started anew where it dies, as long as *is_ready* says that the server goes on.
    """

    def __init__(
        self,
        settings: Settings,
        config: LiveConfig,
        listening: Sequence[Address],
        home: RunnerHome | None,
        is_ready: Callable[[], bool],
    ) -> None:
        self._settings = settings
        self._config = config
        self._listening = tuple(listening)
        self._home = home
        self._is_ready = is_ready
        self._client: httpx.AsyncClient | None = None
        self._starting = asyncio.Lock()

    async def submit(
        self, raw: bytes, media_type: str, params: Mapping[str, str], *, caller: Caller
    ) -> Answer:
        """Hand a document to the runner; raise `Refusal` where nobody answers, and no run has begun."""
        run_id = uuid4().hex
        body = self._packed(raw, media_type, caller, run_id)
        try:
            return await self.call(
                "POST", "/scenarios", params, body, caller=caller, takes_s=_COMPILE_S
            )
        except AnswerLost as exc:
            begun = None if "dry_run" in params else await self._begun(run_id, caller)
            if begun is None:
                raise Refusal(exc.status, str(exc)) from None
            return begun

    async def _begun(self, run_id: str, caller: Caller) -> Answer | None:
        """Return the answer to a document whose run was recorded before the runner's answer was lost.

        `None` where it was not, and so none of its events was handed over; raise `Refusal` where
        nobody can tell yet.
        """
        path, loop = f"/scenarios/{run_id}", asyncio.get_running_loop()
        until_s = loop.time() + _ANSWER_S
        while True:
            try:
                status, _, content = await self.call("GET", path, {}, caller=caller)
            except Refusal as exc:
                status, reason = exc.status, str(exc)
            else:
                if status == _OK:
                    return (
                        201,
                        {"location": path},
                        compact(_as_started(json.loads(content))) + b"\n",
                    )
                if status == _NOT_FOUND:
                    return None
                reason = str(json.loads(content)["detail"])
            if loop.time() >= until_s or not self._is_ready():
                told = f"whether the run {run_id} has begun is not known yet: GET {path} says so"
                raise Refusal(503, f"{reason}; {told}")
            await asyncio.sleep(_ASK_AGAIN_S)

    async def change(self, path: str, raw: bytes, media_type: str, *, caller: Caller) -> Answer:
        """Hand what is to change in a run to the runner; raise `Refusal` where nobody answers."""
        body = self._packed(raw, media_type, caller)
        return await self.call("PATCH", path, {}, body, caller=caller)

    def _packed(self, raw: bytes, media_type: str, caller: Caller, run_id: str = "") -> bytes:
        source = self._config.current.source
        return pickle.dumps(Submission(raw, media_type, caller, source, run_id))

    async def call(
        self,
        method: str,
        path: str,
        params: Mapping[str, str],
        body: bytes = b"",
        *,
        caller: Caller,
        takes_s: float = 0.0,
    ) -> Answer:
        """Forward a call, which may take *takes_s*; raise `Refusal` where nobody answers."""
        home = self._home
        if home is None:
            raise Refusal(
                503, "scenarios need a folder that can be written to (--state-dir, TMPDIR)"
            )
        if method != "POST" and not self._has_runs(home):
            return _without_runs(path)
        await self._start_if_missing(home)
        asking = asyncio.ensure_future(
            self._ask(home, method, path, params, body, viewer_headers(caller), takes_s + _ANSWER_S)
        )
        try:
            while not (await asyncio.wait({asking}, timeout=_ANSWER_S))[0]:
                # The call may take long yet; a runner that is stuck is found out by one that cannot.
                await self._ask(home, "GET", "/status", {}, b"", {}, _STUCK_S)
            return asking.result()
        finally:
            asking.cancel()

    async def status(self) -> Mapping[str, Any]:
        """Return what the runner says of all runs; nothing where it does not run, or answer at once."""
        home = self._home
        if home is None or not home.socket.exists():
            return {}
        try:
            status, _, content = await self._ask(home, "GET", "/status", {}, b"", {}, _STATUS_S)
        except Refusal:
            return {}
        return dict(json.loads(content)) if status == _OK else {}

    async def _ask(
        self,
        home: RunnerHome,
        method: str,
        path: str,
        params: Mapping[str, str],
        body: bytes,
        headers: Mapping[str, str],
        timeout_s: float,
    ) -> Answer:
        import httpx

        if self._client is None:
            self._client = httpx.AsyncClient(
                transport=httpx.AsyncHTTPTransport(
                    # Without a context of ours it reads every CA, which keeps the event loop for 50 ms.
                    verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
                    uds=str(home.socket),
                    limits=httpx.Limits(max_connections=None),
                ),
                trust_env=False,
            )
        try:
            answer = await self._client.request(
                method,
                f"http://runner{path}",
                params=dict(params),
                content=body,
                headers=headers,
                timeout=httpx.Timeout(timeout_s, connect=min(timeout_s, _CONNECT_S)),
            )
        except httpx.HTTPError as exc:
            reason = str(exc) or type(exc).__name__
            is_lost = isinstance(exc, httpx.NetworkError | httpx.RemoteProtocolError)
            kind = AnswerLost if is_lost and not isinstance(exc, httpx.ConnectError) else Refusal
            raise kind(
                503, f"the runner of scenarios does not answer ({reason}): try again"
            ) from None
        return answer.status_code, answer.headers, answer.content

    async def progress(
        self, path: str, caller: Caller, is_ready: Callable[[], bool]
    ) -> AsyncIterator[bytes]:
        """Yield a run's ledger once a second as server-sent events, until it ends or the server does.

        Where the runner does not answer, as while it is started anew, a second is left out.
        """
        while is_ready():
            try:
                status, _, body = await self.call("GET", path, {FORGOTTEN: "true"}, caller=caller)
            except Refusal:
                status, body = _OK, b""
            if status != _OK:  # it has been forgotten meanwhile
                return
            if body:
                detail = json.loads(body)
                is_over = detail["state"] == "finished"
                line = compact(detail["ledger"])
                yield (b"event: end\n" if is_over else b"") + b"data: " + line + b"\n\n"
                if is_over:
                    return
            for _ in range(_LOOKS):
                if is_ready():
                    await asyncio.sleep(_EVERY_S / _LOOKS)

    async def aclose(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()

    def _has_runs(self, home: RunnerHome) -> bool:
        """Return whether there can be any: a runner has been started, or has left its records."""
        records = (self._settings.state_dir or home.folder) / DATABASE
        return home.socket.exists() or records.exists()

    async def _start_if_missing(self, home: RunnerHome) -> None:
        async with self._starting:
            if not answers(home.socket):
                if not self._is_ready():
                    raise Refusal(503, "the server is shutting down: try again")
                try:
                    await in_thread(partial(self._start, home))
                except OSError as exc:
                    reason = f"the runner of scenarios cannot be started: {exc}"
                    raise Refusal(503, reason) from None

    def _start(self, home: RunnerHome, failures: int = 0) -> None:
        """Start the runner, unless another worker has meanwhile; raise `Refusal` or `OSError`."""
        from sonda.server.scenarios.runner import READY, RunnerSettings

        with (home.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if answers(home.socket):
                return
            folder = self._settings.state_dir or home.folder
            said_fd, ready_fd = os.pipe()
            given = RunnerSettings(
                self._settings,
                self._config.current.source,
                self._listening,
                home.socket,
                folder / DATABASE,
                home.alive_fd,
                ready_fd,
            )
            with os.fdopen(said_fd, "rb") as said:
                try:
                    process = execute(given)
                finally:
                    os.close(ready_fd)
                readable, _, _ = select.select([said], [], [], _START_S)
                if not readable or said.readline() != READY:
                    process.kill()
                    process.wait()
                    raise Refusal(503, "the runner of scenarios did not start: the log says why")
        threading.Thread(target=self._watch, args=(process, home, failures), daemon=True).start()

    def _watch(self, process: subprocess.Popen[bytes], home: RunnerHome, failures: int) -> None:
        """Wait until the runner ends; start another one where the server goes on."""
        began_s = time.monotonic()
        status = process.wait()
        failures = 0 if time.monotonic() - began_s >= _STABLE_S else failures + 1
        if self._is_ready():
            _LOG.error("the runner of scenarios ended with %d: starting another", status)
        while self._is_ready():
            time.sleep(_BACKOFF_S[min(failures, len(_BACKOFF_S)) - 1] if failures else 0)
            failures += 1
            try:
                if self._is_ready():
                    self._start(home, failures)
            except (OSError, Refusal) as exc:
                _LOG.error("%s", exc)
            else:
                return


def _as_started(detail: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a POST answers of a run, from what there is of it."""
    named = ("id", "name", "state")
    answer: dict[str, Any] = {name: detail[name] for name in named}
    answer["scenarios"] = [{name: one[name] for name in named} for one in detail["scenarios"]]
    if detail["outcome"] == Outcome.INTERRUPTED:
        answer["warnings"] = ["the runner of scenarios died with this run, which is interrupted"]
    return answer


def _without_runs(path: str) -> Answer:
    """Return the answer where no run was ever started."""
    if path == "/scenarios":
        return 200, {}, b'{"scenarios":[]}\n'
    if path == "/scenarios/metrics":
        return 200, {}, b""
    wanted = unquote(path.split("/")[2])
    return 404, {}, envelope(404, f"there is no scenario {wanted!r}")
