"""The threads in which names are looked up: one per name for all event loops of the process.

The library has an event loop for each call, and a look-up that nobody answers outlives its loop.
"""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections.abc import Callable, Hashable
from contextlib import suppress
from functools import partial
from typing import Any, Final

from sonda.pipeline.net.threads import start_daemon

THREADS: Final = 256
"""Look-ups under way in the process; beyond them there is no thread to be had."""


class _Shared:
    """A look-up under way, and who waits for it."""

    __slots__ = ("error", "found", "waiters")

    def __init__(self) -> None:
        self.found: Any = None
        self.error: BaseException | None = None
        self.waiters: set[asyncio.Future[None]] = set()


class LookUpThreads:
    """Blocking look-ups, each in a thread that all who ask for the same share."""

    def __init__(self) -> None:
        self.forget()
        if hasattr(os, "register_at_fork"):  # a child has none of its parent's threads
            os.register_at_fork(after_in_child=self.forget)

    def forget(self) -> None:
        """Begin anew, with no look-up under way."""
        self._lock = threading.Lock()
        self._under_way: dict[Hashable, _Shared] = {}

    async def find(self, key: Hashable, look_up: Callable[[], Any]) -> Any:
        """Return what *look_up* returns in a thread, or what one under way for this *key* does.

        Raise its error, and `OSError` where there is no thread to be had. Cancelling the wait leaves
        it running.
        """
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with self._lock:
            shared = self._under_way.get(key)
            if shared is None:
                if len(self._under_way) >= THREADS:
                    raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
                shared = _Shared()
                start_daemon(partial(self._run, key, look_up, shared))
                self._under_way[key] = shared
            shared.waiters.add(waiter)
        try:
            await waiter
        finally:
            with self._lock:
                shared.waiters.discard(waiter)
        if shared.error is not None:
            raise shared.error
        return shared.found

    def _run(self, key: Hashable, look_up: Callable[[], Any], shared: _Shared) -> None:
        try:
            shared.found = look_up()
        except BaseException as exc:  # noqa: BLE001  # raised again by whoever waits
            shared.error = exc
        with self._lock:
            self._under_way.pop(key, None)
            waiters = list(shared.waiters)
        for waiter in waiters:
            with suppress(RuntimeError):  # its loop has been closed: nobody waits any more
                waiter.get_loop().call_soon_threadsafe(_wake, waiter)


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


LOOK_UP_THREADS: Final = LookUpThreads()
