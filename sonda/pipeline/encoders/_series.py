"""What a format writes of a series, rendered once: its events come in many chunks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache, wraps
from itertools import chain
from typing import Final, TypeVar

T = TypeVar("T")

_MOST: Final = 10_000  # as many series as a document may have
_LONGEST: Final = 500  # characters, so that those of one format take some ten megabytes at most


def by_series(
    render: Callable[[str, Mapping[str, str]], T],
) -> Callable[[str, Mapping[str, str]], T]:
    """Return *render*, a pure function of a name and labels, with its latest results kept."""

    @lru_cache(_MOST)
    def keeping(name: str, labels: tuple[tuple[str, str], ...]) -> T:
        return render(name, dict(labels))

    @wraps(render)
    def rendered(name: str, labels: Mapping[str, str]) -> T:
        pairs = tuple(labels.items())
        if len(name) + sum(map(len, chain.from_iterable(pairs))) > _LONGEST:
            return render(name, labels)
        return keeping(name, pairs)

    return rendered
