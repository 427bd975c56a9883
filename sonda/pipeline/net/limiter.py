"""How many events one destination may have under way, so that one that hangs leaves room for others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class DestinationLimiter:
    """The events under way for each destination: *most* of them, or any number."""

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._under_way: Counter[str] = Counter()

    @contextmanager
    def place(self, destination: str) -> Iterator[bool]:
        """Give an event a place until the block ends, and tell whether there was one."""
        is_free = self._most is None or self._under_way[destination] < self._most
        self._under_way[destination] += is_free
        try:
            yield is_free
        finally:
            self._under_way[destination] -= is_free
            if not self._under_way[destination]:
                del self._under_way[destination]
