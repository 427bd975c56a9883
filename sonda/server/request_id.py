"""Each request's id: in its line of the log and in the header `X-Request-Id` of its answer."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from itertools import count
from typing import Final

HEADER: Final = b"x-request-id"
ID: Final = "sonda.id"  # where a request's scope keeps it
_GIVEN: Final = re.compile(rb"[!-~]{1,128}")  # printable ASCII without blanks


class _Series:
    """Ids that no other process has: random where they begin, and then counted."""

    def __init__(self) -> None:
        self._start_anew()
        os.register_at_fork(after_in_child=self._start_anew)

    def _start_anew(self) -> None:
        self.prefix = os.urandom(12).hex()
        self.numbers = count()


_SERIES: Final = _Series()


def request_id(headers: Iterable[tuple[bytes, bytes]] = ()) -> str:
    """Return the caller's own id if the headers have one that may be repeated; else a new one."""
    for name, value in headers:
        if name == HEADER and _GIVEN.fullmatch(value):
            return value.decode("ascii")
    return f"{_SERIES.prefix}{next(_SERIES.numbers):08x}"
