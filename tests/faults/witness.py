"""A witness inside the server: what it posted, whenever the socket's answer was a 204.

A real server may lose what it has acknowledged. The witness tells such a loss from a false yes: it
writes down the body that left and the status that came, below everything that judges them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.support.serving import Serving, serving

_WITNESS: Final = """
import json
from msgspec.structs import replace
from sonda.pipeline.net import http1 as http

def noting(request):
    bodies = []
    def body():
        bodies.append(request.body())
        return bodies[-1]
    def note(answer):
        if getattr(answer, "status", 0) == 204:
            book.write(json.dumps(bodies[-1].decode()).encode() + b"\\n")
        return answer
    return replace(request, body=body), note

async def exchange_seen(self, request):
    request, note = noting(request)
    return note(await exchange(self, request))

def begin_seen(self, request, ended):
    request, note = noting(request)
    return begin(self, request, lambda answer: ended(note(answer)))

book = open({path!r}, "ab", buffering=0)
exchange, begin = http.HttpTransport.exchange, http.HttpTransport.begin
http.HttpTransport.exchange, http.HttpTransport.begin = exchange_seen, begin_seen
"""


@dataclass(frozen=True)
class Witness:
    """The book that it keeps."""

    book: Path

    def acknowledged(self) -> Iterator[bytes]:
        """Give the bodies that a destination has answered with 204."""
        for line in self.book.read_text(encoding="utf-8").splitlines():
            yield json.loads(line).encode()


@contextmanager
def witnessed(folder: Path, *flags: str) -> Iterator[tuple[Serving, Witness]]:
    """Run a server with a witness in it."""
    folder.mkdir()
    book = folder / "book"
    script = _WITNESS.replace("{path!r}", repr(str(book)))
    (folder / "sitecustomize.py").write_text(script, encoding="utf-8")
    with serving(*flags, environ={"PYTHONPATH": str(folder)}) as running:
        yield running, Witness(book)
        assert running.stop() == 0
        assert "Traceback" not in running.log
