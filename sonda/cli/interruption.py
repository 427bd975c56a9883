"""Ctrl-C, SIGTERM and SIGHUP: all three end what is under way early, and in order."""

from __future__ import annotations

import signal
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import asyncio

# Windows has no SIGHUP.
SIGNALS: Final = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


def raise_on_signals() -> None:
    """Make SIGTERM and SIGHUP raise `KeyboardInterrupt`, as SIGINT does.

    A signal that was ignored at the start, as SIGHUP is under `nohup`, stays ignored.
    """
    for number in SIGNALS:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)


def restore_default_signals() -> None:
    """Undo `raise_on_signals`, for a command that handles signals itself."""
    for number in SIGNALS:
        if number != signal.SIGINT and signal.getsignal(number) is signal.default_int_handler:
            signal.signal(number, signal.SIG_DFL)


def run_until_interrupted(main: Coroutine[Any, Any, None]) -> bool:
    """Run *main* on a new event loop; return whether it ended before a signal cancelled it.

    The first signal cancels *main*; a second one raises `KeyboardInterrupt` at once.
    """
    import asyncio  # not needed to handle signals

    received: list[int] = []
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        task = loop.create_task(main)

        def cancel(number: int, _frame: FrameType | None) -> None:
            if received:
                raise KeyboardInterrupt
            received.append(number)
            loop.call_soon_threadsafe(task.cancel)

        with _handling(cancel):
            try:
                runner.run(_until_done(task))
            except asyncio.CancelledError:
                return False
    return True


async def _until_done(task: asyncio.Task[None]) -> None:
    await task


@contextmanager
def _handling(handler: Any) -> Iterator[None]:
    """Handle the signals that are not ignored; only the main thread can."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {
        number: found
        for number in SIGNALS
        if (found := signal.getsignal(number)) not in (signal.SIG_IGN, None)
    }
    for number in before:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, found in before.items():
            signal.signal(number, found)
