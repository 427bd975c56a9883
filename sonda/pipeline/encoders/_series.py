"""What a format writes of a series, rendered once: its events come in many chunks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from itertools import chain
from typing import Final, TypeVar

T = TypeVar("T")

_MOST: Final = 10_000  # as many series as a document may have
_LONGEST: Final = 500  # characters, so that those of one format take some ten megabytes at most


def by_series(
    render: Callable[[str, Mapping[str, str]], T],
) -> Callable[[str, Mapping[str, str]], T]:
    """Return *render*, a pure function of a name and labels, with its results kept, long ones not."""
    known: dict[tuple[str, tuple[tuple[str, str], ...]], T] = {}

    @wraps(render)
    def rendered(name: str, labels: Mapping[str, str]) -> T:
        series = name, tuple(labels.items())
        found = known.get(series)
        if found is None:
            found = render(name, labels)
            if len(name) + sum(map(len, chain.from_iterable(series[1]))) <= _LONGEST:
                if len(known) >= _MOST:
                    known.clear()
                known[series] = found
        return found

    return rendered
