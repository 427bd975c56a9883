"""Asking until the event is seen: at once, then ever more seldom, until the time is up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Final

from sonda.pipeline.verify.judging import NOT_SEEN, QueryRefused, Seen, Verdict

FIRST_PAUSE_S: Final = 0.05
LONGEST_PAUSE_S: Final = 0.5
_GROWTH: Final = 1.5


@dataclass(frozen=True, slots=True)
class Verified:
    """How the reading back ended; *visible_us* runs from the acknowledgement to the sight of it."""

    visible_us: int | None
    warning: str = ""

    @property
    def is_verified(self) -> bool:
        """Return whether the event itself was seen."""
        return self.visible_us is not None


async def read_back(
    look: Callable[[], Awaitable[Verdict]], *, target: str, timeout_s: float, limit: str
) -> Verified:
    """Ask by *look* until the event is seen, for at most *timeout_s*.

    *target* names who is asked, *limit* the time as the user wrote it. Cancelled, it raises
    `CancelledError`: whoever cancels knows what the acknowledged event is to be answered with.
    """
    began_ns = perf_counter_ns()
    verdict: Verdict = NOT_SEEN
    pause_s = FIRST_PAUSE_S
    try:
        async with asyncio.timeout(max(0.0, timeout_s)):
            while True:
                verdict = await look()
                if isinstance(verdict, Seen):
                    return Verified((perf_counter_ns() - began_ns) // 1000)
                if isinstance(verdict, QueryRefused) and verdict.is_final:
                    break
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * _GROWTH, LONGEST_PAUSE_S)
    except TimeoutError:
        pass
    return Verified(None, warning_of(verdict, target, limit))


def warning_of(verdict: Verdict, target: str, limit: str) -> str:
    """Return why an acknowledged event is not called verified."""
    why = "" if verdict == NOT_SEEN else f": {verdict}"
    final = isinstance(verdict, QueryRefused) and verdict.is_final
    when = "" if final else f" within {limit}"
    return f"the event was acknowledged, but not read back from {target}{when}{why}"
