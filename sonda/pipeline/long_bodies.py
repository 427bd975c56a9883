"""Long bodies are prepared in turns with all else that the event loop has to do.

A body of a megabyte may hold a hundred thousand labels: to parse it takes some tens of milliseconds,
and so does all that follows. Between the two others have their turn, and only one such body is worked
in each turn of the loop. A thread would be no help: it holds the interpreter just as long.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, Protocol, TypeVar
from weakref import WeakKeyDictionary

from returns.result import Result

from sonda.pipeline.problems import Problem
from sonda.pipeline.stages.parse import parse

LONG_BYTES: Final = 32 * 1024
"""A shorter body takes too little time to be worth a turn."""

T_co = TypeVar("T_co", covariant=True)
_LOCKS: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock]] = WeakKeyDictionary()


class _Prepares(Protocol[T_co]):
    def __call__(self, *, document: Result[dict[str, Any], Problem] | None) -> T_co: ...


async def prepare_in_turns(raw: bytes, prepare: _Prepares[T_co]) -> T_co:
    """Return what *prepare* makes of a body, given the parsed document of a long one."""
    if len(raw) < LONG_BYTES:
        return prepare(document=None)
    async with _LOCKS.setdefault(asyncio.get_running_loop(), asyncio.Lock()):
        document = parse(raw)
        await asyncio.sleep(0)
        prepared = prepare(document=document)
        await asyncio.sleep(0)
    return prepared
