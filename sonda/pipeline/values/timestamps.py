"""Instants as integer nanoseconds since the epoch: a clock that gives none twice, and RFC 3339.

Spec: https://www.rfc-editor.org/rfc/rfc3339#section-5.6
"""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

NS_PER_S: Final = 1_000_000_000
NS_PER_MS: Final = 1_000_000
MS_PER_S: Final = 1000
LATEST_NS: Final = 2**63 - 1  # 2262-04-11T23:47:16.854775807Z, the last a 64-bit count can hold

STEP_NS: Final = 1_000_000_000
"""A wall clock that is further behind than this has been set back; less is slewing, or ties."""
REMEMBERED: Final = 65_536
"""How many of the latest instants are kept, so that none is given again after a step back."""

_RFC3339: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]((?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9])(?:\.([0-9]{1,9}))?"
    r"(?:[Zz]|([+-])([01][0-9]|2[0-3]):([0-5][0-9]))"
)
_MILLISECONDS: Final = [f".{time_ms:03d}Z" for time_ms in range(MS_PER_S)]
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def unique_clock(read_ns: Callable[[], int]) -> Callable[[], int]:
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


def parse_rfc3339(text: str) -> int:
    """Read an RFC 3339 instant as nanoseconds since the epoch; raises `ValueError` with the reason."""
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError("expected RFC 3339 with an offset and at most nine decimals")
    date, clock, decimals, sign, hours, minutes = match.groups()
    try:
        local = datetime.fromisoformat(f"{date}T{clock}+00:00")
    except ValueError as exc:  # the 30th of February
        raise ValueError(f"not a valid instant: {exc}") from None
    offset_s = 0
    if sign:
        offset_s = (int(hours) * 60 + int(minutes)) * 60 * (-1 if sign == "-" else 1)
    whole_s = (local - _EPOCH) // timedelta(seconds=1) - offset_s
    time_ns = whole_s * NS_PER_S + int((decimals or "").ljust(9, "0"))
    if not 0 <= time_ns <= LATEST_NS:
        raise ValueError("outside 1970-01-01T00:00:00Z to 2262-04-11T23:47:16.854775807Z")
    return time_ns


def rfc3339(time_ns: int) -> str:
    """Render an instant in UTC with all nine decimals."""
    whole_s, rest_ns = divmod(time_ns, NS_PER_S)
    return f"{_seconds(whole_s)}.{rest_ns:09d}Z"


def rfc3339_ms(time_ns: int) -> str:
    """Render an instant in UTC, floored to milliseconds."""
    whole_s, rest_ns = divmod(time_ns, NS_PER_S)
    return f"{_seconds(whole_s)}.{rest_ns // NS_PER_MS:03d}Z"


def rfc3339_ms_of_each(times_ns: Sequence[int]) -> list[str]:
    """Render each of many instants as `rfc3339_ms` does: those of one second share their work."""
    texts: list[str] = []
    begin, whole_ms = "", -MS_PER_S
    for time_ns in times_ns:
        time_ms = time_ns // NS_PER_MS - whole_ms
        if not 0 <= time_ms < MS_PER_S:
            time_s, time_ms = divmod(time_ns // NS_PER_MS, MS_PER_S)
            whole_ms, begin = time_s * MS_PER_S, _seconds(time_s)
        texts.append(begin + _MILLISECONDS[time_ms])
    return texts


@lru_cache(maxsize=8)  # the events of one second arrive one after the other
def _seconds(whole_s: int) -> str:
    return (_EPOCH + timedelta(seconds=whole_s)).strftime("%Y-%m-%dT%H:%M:%S")
