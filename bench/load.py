"""Load on an HTTP server, by `wrk`: many clients, each of which waits for its answer."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import NO_CONTENT, OK
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from urllib.parse import urlsplit

from tests.backends.install import Command, find, program

POST_LUA: Final = Path(__file__).with_name("post.lua")
MARK: Final = "LOAD "
ANSWER_TIMEOUT_S: Final = 15  # above Sonda's own 10 s: a 504 is a status, no time-out of ours
SLACK_S: Final = 30.0


class BenchError(Exception):
    """A measurement that must not be shown as a number; the text says why."""


@dataclass(frozen=True, slots=True)
class Request:
    """One POST; in its body the placeholders of `post.lua` stand for what differs each time."""

    url: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})

    def raw(self) -> bytes:
        """Return the request as it goes over the wire."""
        parts = urlsplit(self.url)
        lines = [f"POST {parts.path or '/'} HTTP/1.1", f"Host: {parts.netloc}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        lines += [f"Content-Length: {len(self.body)}", "", ""]
        return "\r\n".join(lines).encode() + self.body


@dataclass(frozen=True, slots=True)
class Load:
    """What became of the requests of one run."""

    answers: int
    duration_s: float
    p50_ms: float
    p99_ms: float

    @property
    def per_s(self) -> float:
        """Answers per second."""
        return self.answers / self.duration_s


def find_wrk() -> Command | None:
    """Return how to call `wrk`: the one of the machine, else the one of `make backends`."""
    if on_path := shutil.which("wrk"):
        return (on_path,), {}
    folder = find("wrk")
    return None if folder is None else program(folder, "root/usr/bin/wrk")


def post(request: Request, *, clients: int, seconds: int, check: bool = False) -> Load:
    """Send *request* again and again; raises `BenchError` unless every answer was a yes.

    One thread of wrk keeps up with any server here, and leaves the other core to that server.
    """
    wrk = find_wrk()
    if wrk is None:
        raise BenchError("wrk is not installed: run `make backends`")
    words, env = wrk
    with TemporaryDirectory(prefix="sonda-bench-") as folder:
        file = Path(folder, "request")
        file.write_bytes(request.raw())
        run = subprocess.run(
            (
                *(*words, "--threads=1", f"--connections={clients}", f"--duration={seconds}s"),
                *(f"--timeout={ANSWER_TIMEOUT_S}s", f"--script={POST_LUA}", request.url),
                *("--", str(file), *(["check"] if check else [])),
            ),
            env={**os.environ, **env},
            capture_output=True,
            text=True,
            timeout=seconds + SLACK_S,
            check=False,
        )
    if run.returncode != 0:
        raise BenchError(f"wrk ended with {run.returncode}: {(run.stdout + run.stderr).strip()}")
    try:
        return parse(run.stdout)
    except BenchError as exc:
        raise BenchError(f"{clients} clients: {exc}") from None


def parse(printed: str) -> Load:
    """Read what `post.lua` has printed; raises `BenchError` for anything but a yes to all."""
    lines = [line for line in printed.splitlines() if line.startswith(MARK)]
    if len(lines) != 1:
        raise BenchError(f"wrk printed no result: {printed.strip()}")
    result: dict[str, Any] = json.loads(lines[0].removeprefix(MARK))
    if flaws := _flaws(result):
        raise BenchError(f"{', '.join(flaws)} (of {result['answers']} answers)")
    return Load(
        answers=result["answers"],
        duration_s=result["duration_us"] / 1e6,
        p50_ms=result["p50_us"] / 1e3,
        p99_ms=result["p99_us"] / 1e3,
    )


def _flaws(result: dict[str, Any]) -> list[str]:
    yes = {str(int(OK)), str(int(NO_CONTENT))}
    other = {code: count for code, count in result["statuses"].items() if code not in yes}
    flaws = [f"{count} times {code}: {result['refusal']}" for code, count in sorted(other.items())]
    if not other and result["above_399"]:
        flaws.append(f"{result['above_399']} times a status above 399")
    if result["broken"]:
        flaws.append(f"{result['broken']} broken connections")
    if result["late"]:
        flaws.append(f"{result['late']} answers after {ANSWER_TIMEOUT_S} s")
    if not result["answers"]:
        flaws.append("no answer at all")
    return flaws
