"""Ctrl-C, SIGTERM, SIGHUP and their like: each ends what is under way early, and in order."""

from __future__ import annotations

import gc
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    import asyncio

# Those whose default is to end a process, and that somebody sends on purpose. Windows has but two.
_NAMES: Final = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")
SIGNALS: Final = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))


def raise_on_signals() -> None:
    """Make the other signals raise `KeyboardInterrupt`, as SIGINT does.

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

    from sonda.loops import LOOP

    gc.freeze()  # what the start made stays: a collection while events are sent looks at the rest
    received: list[int] = []
    with asyncio.Runner(loop_factory=LOOP) as runner:
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


class Stops:
    """The signals that stop a run: the first one does, and a second one ends it at once.

    Use it as a context manager around the run and what is before and after it. A signal that comes
    before the run has begun stops it as it begins, so that it ends with its ledger as ever; once it
    is over there is nothing to stop. Where nothing can be stopped, a second signal raises
    `KeyboardInterrupt`.
    """

    def __init__(self) -> None:
        self._received = 0
        self._borne = 1
        self._stop: Callable[[int], object] | None = None

    def __enter__(self) -> Self:
        """Handle the signals that are not ignored."""
        self._handling = _handling(self._signalled)
        self._handling.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        """Handle the signals as before."""
        self._handling.__exit__(None, None, None)

    @contextmanager
    def raising(self) -> Iterator[None]:
        """Raise `KeyboardInterrupt` at the first signal, for what may take long and sends nothing."""
        if self._received:
            raise KeyboardInterrupt
        self._borne = 0
        try:
            yield
        finally:
            self._borne = 1

    @contextmanager
    def calling(self, stop: Callable[[int], object]) -> Iterator[None]:
        """Call *stop* with the number of each signal, from 1 on, those received before included."""
        self._stop = stop
        for number in range(1, self._received + 1):
            stop(number)
        try:
            yield
        finally:
            self._stop, self._received = None, 0

    def _signalled(self, _number: int, _frame: FrameType | None) -> None:
        self._received += 1
        if self._stop is not None:
            self._stop(self._received)
        elif self._received > self._borne:
            raise KeyboardInterrupt


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
