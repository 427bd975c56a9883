"""The clock that gives events their time."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

STEP_NS: Final = 1_000_000_000
"""A wall clock that is further behind than this has been set back; less is slewing, or ties."""
REMEMBERED: Final = 65_536
"""How many of the latest instants are kept, so that none is given again after a step back."""


def unique_clock(read_ns: Callable[[], int] = time.time_ns) -> Callable[[], int]:
    """Return a clock that follows *read_ns* and never gives the same nanosecond twice.

    Loki keeps only one of two equal lines with equal times, so equal times would lose events. A tie
    moves one nanosecond on. A reading that is more than `STEP_NS` behind is taken as it is: the
    wall clock was wrong and has been put right. Safe to call from several threads.
    """
    lock = threading.RLock()  # re-entrant, since a signal's handler may ask for the time, too
    given: deque[int] = deque(maxlen=REMEMBERED)
    ahead: set[int] = set()  # what was given before a step back and has not been passed again
    last_ns = latest_ns = -1

    def now_ns() -> int:
        nonlocal ahead, last_ns, latest_ns
        with lock:
            time_ns = read_ns()
            if last_ns - time_ns > STEP_NS:
                ahead = {one for one in given if one >= time_ns}
                latest_ns = max(ahead)
            elif time_ns <= last_ns:
                time_ns = last_ns + 1
            if ahead:
                while time_ns in ahead:
                    time_ns += 1
                if time_ns > latest_ns:
                    ahead = set()
            given.append(time_ns)
            last_ns = time_ns
            return time_ns

    return now_ns
