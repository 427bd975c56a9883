"""A worker's way to the runner, without a runner."""

from __future__ import annotations

import asyncio
import json
import pickle
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest

from sonda.pipeline.policy.callers import ANYBODY
from sonda.server.live_config import LiveConfig
from sonda.server.scenarios.gateway import Answer, Gateway
from sonda.server.scenarios.refusals import Refusal
from sonda.server.scenarios.runner_home import RunnerHome
from sonda.server.settings import Settings

_ANSWER = b'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 13\r\n\r\n{"states":{}}'


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(_ANSWER)
    writer.close()
    await writer.wait_closed()


def test_no_ca_is_read_for_a_unix_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    """To read them all keeps the event loop, and so every event, for fifty milliseconds."""
    read: list[object] = []
    monkeypatch.setattr(ssl, "create_default_context", lambda **given: read.append(given))

    async def main() -> Mapping[str, Any]:
        home = RunnerHome()
        gateway = Gateway(Settings(), LiveConfig(), (), home, lambda: True)
        try:
            async with await asyncio.start_unix_server(_answer, home.socket):
                return await gateway.status()
        finally:
            await gateway.aclose()
            home.close()

    assert asyncio.run(main()) == {"states": {}}
    assert read == []


_ENTRY = {"id": "one.a", "name": "a", "state": "finished", "outcome": "interrupted", "ledger": {}}


class _Runner:
    """A runner that hangs up on each document, and says of its run what a test wants.

    *found* gets the id by which the worker asked for the run to be called.
    """

    def __init__(self, found: Callable[[str], bytes]) -> None:
        self._found = found
        self.run_id = ""
        self.asked: list[str] = []

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        self.asked.append(head.partition(" http/")[0])
        length = head.partition("content-length:")[2].partition("\r")[0]
        body = await reader.readexactly(int(length or 0))
        if body:
            self.run_id = pickle.loads(body).run_id  # noqa: S301  # from the gateway
        else:
            writer.write(self._found(self.run_id))
        writer.close()
        await writer.wait_closed()


def _reply(status: str, document: Mapping[str, Any]) -> bytes:
    body = json.dumps(document).encode()
    head = f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _use(runner: _Runner, use: Callable[[Gateway], Awaitable[Answer]], *, ready: bool) -> Answer:
    async def main() -> Answer:
        home = RunnerHome()
        gateway = Gateway(Settings(), LiveConfig(), (), home, lambda: ready)
        try:
            async with await asyncio.start_unix_server(runner.answer, home.socket):
                return await use(gateway)
        finally:
            await gateway.aclose()
            home.close()

    return asyncio.run(main())


async def _submit(gateway: Gateway) -> Answer:
    return await gateway.submit(b"{}", "application/json", {}, caller=ANYBODY)


def test_a_run_that_was_recorded_is_answered_though_the_runner_died() -> None:
    """A 503 would say that nothing began; the answer names the run, and how it is."""

    def found(run_id: str) -> bytes:
        entry = {**_ENTRY, "id": f"{run_id}.a"}
        detail = {**_ENTRY, "id": run_id, "scenarios": [entry]}
        return _reply("200 OK", detail)

    runner = _Runner(found)
    status, headers, body = _use(runner, _submit, ready=True)
    assert (status, headers) == (201, {"location": f"/scenarios/{runner.run_id}"})
    assert json.loads(body) == {
        "id": runner.run_id,
        "name": "a",
        "state": "finished",
        "scenarios": [{"id": f"{runner.run_id}.a", "name": "a", "state": "finished"}],
        "warnings": ["the runner of scenarios died with this run, which is interrupted"],
    }


def test_a_run_that_was_not_recorded_is_503() -> None:
    """Nothing was handed over: to try again is safe, and the refusal names no run."""
    runner = _Runner(lambda _: _reply("404 Not Found", {"detail": "there is no scenario"}))
    with pytest.raises(Refusal, match=r"does not answer .* try again") as refused:
        _use(runner, _submit, ready=True)
    assert (refused.value.status, runner.run_id in str(refused.value)) == (503, False)
    assert runner.asked == ["post /scenarios", f"get /scenarios/{runner.run_id}"]


def test_a_run_that_nobody_can_tell_of_is_named() -> None:
    """Where the server ends meanwhile, the refusal says where the answer will be."""
    runner = _Runner(lambda _: b"")
    with pytest.raises(Refusal, match="is not known yet: GET /scenarios/") as refused:
        _use(runner, _submit, ready=False)
    assert (refused.value.status, runner.run_id in str(refused.value)) == (503, True)


def test_a_dry_run_leaves_nothing_to_look_for() -> None:
    """Its lost answer is 503 at once."""

    async def dry_run(gateway: Gateway) -> Answer:
        params = {"dry_run": "true"}
        return await gateway.submit(b"{}", "application/json", params, caller=ANYBODY)

    runner = _Runner(lambda _: b"")
    with pytest.raises(Refusal, match="try again"):
        _use(runner, dry_run, ready=True)
    assert runner.asked == ["post /scenarios?dry_run=true"]
