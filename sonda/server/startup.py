"""What a server process needs before anything else: descriptors 0 to 2, and a quiet early end."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from typing import Final

from sonda.pipeline.net.threads import start_daemon

_THREADS_OF_LOOP: Final = 4
STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def open_standard_descriptors() -> None:
    """Open descriptors 0 to 2 on `/dev/null` where they are closed.

    Else a socket or an event loop's own descriptor would get one of these numbers, and whatever
    writes to standard output would write into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one


def check_threads() -> None:
    """Raise `OSError` unless the system has as many threads to spare as the event loop starts.

    uvloop's library would abort the process.
    """
    ended = Event()
    try:
        for _ in range(_THREADS_OF_LOOP):
            start_daemon(ended.wait)
    finally:
        ended.set()


def stop_signals(*, reloads: bool = False) -> tuple[signal.Signals, ...]:
    """Return the signals that stop this process; a SIGHUP that `nohup` ignores stays ignored.

    Where a SIGHUP reloads the configuration it stops nothing.
    """
    return tuple(
        number
        for number in STOP_SIGNALS
        if number is not signal.SIGHUP
        or (not reloads and signal.getsignal(number) is not signal.SIG_IGN)
    )


@contextmanager
def stopping_early(*, reloads: bool = False) -> Iterator[None]:
    """End the process with status 0 on a stop signal, until there is something to drain.

    A SIGHUP that *reloads* has nothing to do yet.
    """
    numbers = stop_signals(reloads=reloads)
    if reloads:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    before = {number: signal.signal(number, lambda *_: os._exit(0)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
