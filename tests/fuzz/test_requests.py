"""Whole requests, 20,000 of them, to a server that may reach nothing but this test's own."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import sys
from collections import Counter
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Final
from zlib import crc32

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from returns.result import Result, Success

from sonda.envelope import CODES
from sonda.pipeline import deliver
from sonda.pipeline.stages.send import push
from tests.fuzz.choices import Choices
from tests.fuzz.guard import Guard, guarded
from tests.fuzz.requests import Request, request
from tests.fuzz.scale import SCALE
from tests.fuzz.shapes import SINKS
from tests.fuzz.world import Reply, World, world

AT_ONCE: Final = 40
CHOICES_BYTES: Final = 180
PATIENCE_S: Final = 30.0
_MARK: Final = re.compile(rb"mk[0-9a-f]{8}")
_CURRENT: Final[ContextVar[str]] = ContextVar("mark of the request that is served")


@dataclass
class Seen:
    """What has been asked and answered so far, and how far each request has come."""

    counts: Counter[str] = field(default_factory=Counter)
    pushed: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    behind_the_scenes: list[str] = field(default_factory=list)

    def counting(self, name: str, step: Callable[..., Result[Any, Any]]) -> Callable[..., Any]:
        """Let a pure stage count what it lets pass."""

        def stage(*args: Any, **options: Any) -> Result[Any, Any]:
            result = step(*args, **options)
            self.counts[name] += isinstance(result, Success)
            return result

        return stage

    def noting(self, push: Callable[..., Any]) -> Callable[..., Any]:
        """Let the first stage that touches the world note for whom it does."""

        def noted(*args: Any, **options: Any) -> Any:
            self.pushed.add(_CURRENT.get())
            return push(*args, **options)

        return noted


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    """Listen in on the line."""
    seen = Seen()
    for name in ("parse", "validate"):
        monkeypatch.setattr(deliver, name, seen.counting(name, getattr(deliver, name)))
    monkeypatch.setattr(deliver, "push", seen.noting(push))
    return seen


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the one folder that may be written to, and have standard output there, too."""
    folder = tmp_path / "root"
    (folder / "tls").mkdir(parents=True)
    (folder / "sonda").write_text("no certificate")
    monkeypatch.chdir(folder)
    return folder


def test_requests_are_borne(
    folder: Path,
    seen: Seen,
    seed: int,
    report: list[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each is answered in time and in the contract's words; nothing of a refused one is sent."""
    caplog.set_level(logging.ERROR, "sonda")
    numbers = count()
    with asyncio.Runner() as runner, (folder / "stdout").open("w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        monkeypatch.setattr(sys, "__stdout__", stdout)
        runner.get_loop().set_exception_handler(
            lambda _, context: seen.behind_the_scenes.append(str(context))
        )
        opening = world(folder)
        opened = runner.run(opening.__aenter__())
        guard = Guard(opened.targets.ports, folder)
        watch_grpc(guard, monkeypatch)

        @hypothesis.seed(seed)
        @settings(
            max_examples=SCALE.requests // AT_ONCE,
            database=None,
            report_multiple_bugs=False,
            deadline=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        )
        @given(st.binary(min_size=AT_ONCE * CHOICES_BYTES, max_size=AT_ONCE * CHOICES_BYTES))
        def hold(raw: bytes) -> None:
            requests = [
                request(
                    Choices(raw[start : start + CHOICES_BYTES]), mark(next(numbers)), opened.targets
                )
                for start in range(0, len(raw), CHOICES_BYTES)
            ]
            with guarded(guard):
                runner.run(ask_all(opened, seen, requests))
            assert seen.behind_the_scenes == []
            assert caplog.messages == []

        try:
            hold()
        finally:
            runner.run(opening.__aexit__(None, None, None))
    written = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    arrived = {found.decode() for found in _MARK.findall(opened.arrived + written)}
    counts = seen.counts
    report += told(counts, len(arrived))
    assert arrived & seen.refused == set()
    assert len(arrived) > counts["asked"] / 20
    assert counts["asked"] >= SCALE.requests
    assert counts["parse"] > counts["asked"] / 2
    assert counts["validate"] > counts["asked"] / 4
    assert {
        "200",
        "400",
        "401",
        "403",
        "404",
        "405",
        "413",
        "415",
        "422",
        "502",
        "504",
    } <= counts.keys()


def watch_grpc(guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Show the guard where gRPC goes: it connects without asking Python."""
    if "otlp_grpc" not in SINKS:
        return
    import grpc.aio

    def watched(name: str, make: Callable[..., Any]) -> Callable[..., Any]:
        def channel(target: str, *args: Any, **options: Any) -> Any:
            host, _, port = target.removeprefix("ipv4:").rpartition(":")
            guard("socket.connect", (name, (host, int(port))))
            return make(target, *args, **options)

        return channel

    for name in ("insecure_channel", "secure_channel"):
        monkeypatch.setattr(grpc.aio, name, watched(name, getattr(grpc.aio, name)))


def mark(number: int) -> str:
    """Make a text that is found again in what arrives; neighbours have little in common."""
    return f"mk{crc32(b'%d' % number):08x}"


async def ask_all(opened: World, seen: Seen, requests: list[Request]) -> None:
    """Ask all at once, and judge every answer."""
    asking = asyncio.gather(*(ask(opened, seen, each) for each in requests))
    await asyncio.wait_for(asking, PATIENCE_S)


async def ask(opened: World, seen: Seen, asked: Request) -> None:
    """Ask, in a task of its own, and judge the answer."""
    _CURRENT.set(asked.mark)
    try:
        reply = await opened.ask(asked)
    except Exception as exc:
        exc.add_note(repr(asked))
        raise
    judge(asked, reply)
    seen.counts["asked"] += 1
    seen.counts[str(reply.status)] += 1
    was_pushed = asked.mark in seen.pushed
    if 400 <= reply.status < 500:
        seen.refused.add(asked.mark)
        assert not was_pushed or reply.status == 403, (asked, reply)
    elif asked.path == "/events":
        assert was_pushed, (asked, reply)


def judge(asked: Request, reply: Reply) -> None:
    """Hold an answer to the contract."""
    assert reply.status == 200 or reply.status in CODES, (asked, reply)
    assert reply.status != 500, (asked, reply)
    headers = dict(reply.headers)
    assert len(headers) == len(reply.headers), (asked, reply)
    assert headers[b"content-type"] == b"application/json", (asked, reply)
    expected = {401: b"www-authenticate", 405: b"allow", 503: b"retry-after"}.get(reply.status)
    assert expected is None or headers[expected], (asked, reply)
    if asked.method == "HEAD":
        return
    document = json.loads(reply.body.decode())
    if reply.status != 200:
        told = ["error", "detail", *(["warnings"] if "warnings" in document else [])]
        assert list(document) == told, (asked, reply)
        assert "warnings" not in document or reply.status in (502, 504), (asked, reply)
        assert document["error"] == CODES[reply.status], (asked, reply)
        assert document["detail"], (asked, reply)
        assert document["detail"].isprintable(), (asked, reply)
    elif asked.path == "/events":
        assert list(document)[:3] == ["sent", "signal_type", "latency_ms"], (asked, reply)
        assert document["sent"] is True, (asked, reply)


def told(counts: Counter[str], arrived: int) -> list[str]:
    """Say in words what was counted."""
    asked = counts["asked"]
    shares = (
        f"{counts['parse'] / asked:.0%} past parse",
        f"{counts['validate'] / asked:.0%} past validation",
        f"{arrived / asked:.0%} found at a destination",
    )
    statuses = (f"{name}: {counts[name]:,}" for name in sorted(counts) if name.isdigit())
    return [f"requests: {asked:,}; {', '.join(shares)}", f"requests: {', '.join(statuses)}"]
