"""Blocking calls, kept off the event loop."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from typing import TypeVar

T = TypeVar("T")


async def in_thread(call: Callable[[], T]) -> T:
    """Run a blocking *call* in a daemon thread of its own; return its result, or raise its error."""
    return await begin_in_thread(call)


def begin_in_thread(call: Callable[[], T]) -> asyncio.Future[T]:
    """Run a blocking *call* in a daemon thread of its own; return its future result.

    Raise `OSError` if the system has no thread to spare.

    The executors of the standard library and of anyio join their threads when the interpreter
    exits: one that hangs, on a full pipe or on a slow name server, would keep the process alive.
    Cancelling the wait leaves the call running.
    """
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[T] = loop.create_future()

    def set_outcome(value: T | None, error: BaseException | None) -> None:
        if outcome.done():  # the wait was cancelled
            return
        if error is None:
            outcome.set_result(value)  # type: ignore[arg-type]  # without an error there is a value
        else:
            outcome.set_exception(error)

    def run() -> None:
        value, error = None, None
        try:
            value = call()
        except BaseException as exc:  # noqa: BLE001  # handed on to whoever waits
            error = exc
        with suppress(RuntimeError):  # the loop has been closed: nobody waits any more
            loop.call_soon_threadsafe(set_outcome, value, error)

    start_daemon(run)
    return outcome


async def start_threads_of_loop() -> None:
    """Let the event loop start the threads that it connects with, while there are some to be had.

    uvloop connects through libuv, which aborts the program where it cannot start its four threads.
    """
    await asyncio.get_running_loop().getaddrinfo("127.0.0.1", 0)


def start_daemon(run: Callable[[], object]) -> None:
    """Start a daemon thread; raise `OSError` if there is none to be had.

    There is none at the limit of processes, nor while the interpreter exits (Python 3.12 on).
    """
    try:
        Thread(target=run, daemon=True).start()
    except RuntimeError as exc:
        if "interpreter shutdown" in str(exc):  # `sys.is_finalizing()` becomes true only later
            raise OSError("the interpreter is ending, and starts no thread any more") from None
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from None
