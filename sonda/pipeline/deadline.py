"""The one deadline of a delivery."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from math import inf
from types import TracebackType
from typing import Any, Final, Protocol, TypeVar
from weakref import ref

from msgspec import Struct

from sonda.pipeline.values.durations import LONGEST_S

T = TypeVar("T")

_MILLISECOND_S: Final = 0.001

TIMER_RESOLUTION_S: Final = 0.001
"""uvloop's: a timer may come early by as much."""


class Deadline(Struct, frozen=True):
    """An instant on the event loop's clock, and the span in seconds that led up to it."""

    at_s: float
    span_s: float

    @classmethod
    def within(
        cls, span_s: float, until_s: float | None = None, now_s: float | None = None
    ) -> Deadline:
        """Return a deadline: *span_s* from *now_s*, or at loop time *until_s* if that is sooner.

        `stages.send.push` writes this out for its one event.
        """
        if now_s is None:
            now_s = asyncio.get_running_loop().time()
        span_s = min(span_s, LONGEST_S)
        if until_s is not None:
            span_s = max(0.0, min(span_s, until_s - now_s))
        return cls(now_s + span_s, span_s)

    def left_s(self) -> float:
        """Seconds left; negative once it has passed."""
        return self.at_s - asyncio.get_running_loop().time()

    def __str__(self) -> str:
        if 0 < self.span_s < _MILLISECOND_S:
            return f"{f'{self.span_s:.9f}'.rstrip('0')}s"
        return f"{round(self.span_s, 3):g}s"


class Expiry:
    """The one timer of many who wait, set to the deadline that ends first.

    *expire* ends the wait of those whose deadline is not after the loop time that it is called with,
    and returns when the next one ends: `inf` where nobody is left. It is a method of the *owner* of
    this object, which is not kept alive: that would be a circle, and the timer is set for seconds.
    """

    __slots__ = ("_expire", "_owner", "_timer", "at_s")

    def __init__(self, owner: T, expire: Callable[[T, float], float]) -> None:
        self._owner = ref(owner)
        self._expire: Callable[[Any, float], float] = expire
        self._timer: asyncio.TimerHandle | None = None
        self.at_s = inf  # what the timer is set to, on the loop's clock

    def until(self, at_s: float) -> None:
        """Expire at *at_s*, unless the timer is set to an earlier time."""
        if at_s < self.at_s:
            self.cancel()
            self.at_s = at_s
            loop = asyncio.get_running_loop()
            # in a context of its own: that of this task has its events, which are done long before
            self._timer = loop.call_at(at_s, self._on_time, context=Context())

    def cancel(self) -> None:
        """Stop the timer; the next `until` starts it anew."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self.at_s = None, inf

    def _on_time(self) -> None:
        self._timer, self.at_s = None, inf
        if (owner := self._owner()) is not None:
            self.until(self._expire(owner, asyncio.get_running_loop().time() + TIMER_RESOLUTION_S))


class Limited(Protocol):
    """What must have ended by a time, *at_s* on the loop's clock."""

    @property
    def at_s(self) -> float: ...

    def interrupt(self) -> None:
        """End it, for its time is over."""

    def abandon(self) -> None:
        """End it, for nobody waits for it."""


class Timeouts:
    """The one timer of all that is limited in time on one event loop.

    A timer, set and cancelled for every event, costs more than all else that a deadline does.
    """

    def __init__(self) -> None:
        self.limits: dict[Limited, None] = {}
        self.expiry = Expiry(self, Timeouts._expire)

    def abandon(self) -> None:
        """End all that has not ended."""
        for limit in list(self.limits):
            limit.abandon()

    def cancel(self) -> None:
        """Set no timer any more, until somebody waits again."""
        self.expiry.cancel()

    def _expire(self, now_s: float) -> float:
        for limit in [limit for limit in self.limits if limit.at_s <= now_s]:
            del self.limits[limit]
            limit.interrupt()
        return min((limit.at_s for limit in self.limits), default=inf)


class TimeLimit(Struct, eq=False):
    """The time of a `with` block, until *at_s* on the loop's clock; over it, `TimeoutError`.

    It is `asyncio.timeout_at` without a timer of its own.
    """

    timeouts: Timeouts
    at_s: float
    _task: asyncio.Task[Any] | None = None
    _requests: int = 0  # to cancel the task that others had made before
    _is_over: bool = False

    def __enter__(self) -> None:
        task = self._task = asyncio.current_task()
        assert task is not None  # noqa: S101  # only a task can be cancelled
        self._requests = task.cancelling()
        self.timeouts.limits[self] = None
        if self.at_s < self.timeouts.expiry.at_s:
            self.timeouts.expiry.until(self.at_s)

    def abandon(self) -> None:
        """Leave it to the task, which is cancelled by whoever has started it."""

    def interrupt(self) -> None:
        """Cancel what the task awaits."""
        self._is_over = True
        assert self._task is not None  # noqa: S101  # it has entered the block
        self._task.cancel()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.timeouts.limits.pop(self, None)
        task, self._task = self._task, None
        is_ours = self._is_over and task is not None and task.uncancel() <= self._requests
        if is_ours and kind is asyncio.CancelledError:
            raise TimeoutError from exc
