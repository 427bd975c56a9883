"""Real servers that are spoken to over HTTP: start them, wait until they answer, ask them."""

from __future__ import annotations

import json
import re
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, TypeVar

from .install import Command
from .process import Process, poll, started

T = TypeVar("T")

READY_TIMEOUT_S: Final = 60.0
PATIENCE_S: Final = 60.0
LISTENS: Final = re.compile(r"\b127\.0\.0\.1:([1-9][0-9]*)\b")


@dataclass(frozen=True, slots=True)
class Web:
    """A server that listens on 127.0.0.1 and answers."""

    url: str
    process: Process

    def get(self, path: str, **parameters: str | int) -> bytes:
        """Return what it answers with 2xx; raises `HTTPError` for 4xx and 5xx."""
        return fetch(f"{self.url}{path}?{urllib.parse.urlencode(parameters)}")[1]

    def post(self, path: str, **parameters: str | int) -> bytes:
        """Send a form, and return what it answers with 2xx."""
        return fetch(self.url + path, body=urllib.parse.urlencode(parameters).encode())[1]

    def poll(self, look: Callable[[], list[T]], *, count: int) -> list[T]:
        """Return what *look* finds once it is *count* or more; fails the test if it stays fewer."""
        return poll(look, count=count, timeout_s=PATIENCE_S, process=self.process)


def fetch(
    url: str,
    *,
    method: str | None = None,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    timeout_s: float = 60.0,
    context: ssl.SSLContext | None = None,
) -> tuple[int, bytes]:
    """Send a request and return status and body; raises `HTTPError` for 4xx and 5xx."""
    request = urllib.request.Request(url, data=body, headers=dict(headers or {}), method=method)
    with urllib.request.urlopen(request, timeout=timeout_s, context=context) as reply:
        return reply.status, reply.read()


def succeeds(ask: Callable[[], object]) -> bool:
    """Say whether *ask* gets its answers by now."""
    try:
        ask()
    except urllib.error.HTTPError as exc:
        exc.close()  # it holds the connection
        return False
    except (OSError, HTTPException):
        return False
    return True


@contextmanager
def start_web(command: Callable[[Path], Command], *, ready: str) -> Iterator[Web]:
    """Run a server in a temporary folder until the end of the `with` block.

    *command* gets that folder, and has the server listen on port 0 of 127.0.0.1 and log the port
    that this became. It is up once it answers the path *ready*.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="sonda-backend-")))
        words, env = command(folder)
        process = stack.enter_context(started(words, folder=folder, env=env))
        port = process.wait_for_log(LISTENS, timeout_s=READY_TIMEOUT_S)[1]
        web = Web(f"http://127.0.0.1:{port}", process)
        process.wait_until(
            lambda: succeeds(lambda: web.get(ready)),
            timeout_s=READY_TIMEOUT_S,
            what=f"it answers {ready}",
        )
        yield web


def read_json(text: bytes) -> Any:
    """Read JSON without loss: integers of any length are exact, and `-0` keeps its sign."""
    return json.loads(text, parse_int=lambda digits: -0.0 if digits == "-0" else int(digits))
