"""Results of texts are kept, and not those of long ones."""

from __future__ import annotations

from sonda.pipeline.values.memoize import LONGEST_MEMOIZED, MEMOIZED, memoize


def test_short_texts_are_asked_for_once() -> None:
    """With the same further arguments; the latest `MEMOIZED` are kept."""
    asked: list[tuple[int, int]] = []

    @memoize
    def measure(text: str, factor: int = 1) -> int:
        """Return the length."""
        asked.append((len(text), factor))
        return len(text) * factor

    assert [measure("abc"), measure("abc"), measure("abc", 2), measure("abc", factor=2)] == [
        3,
        3,
        6,
        6,
    ]
    assert asked == [(3, 1), (3, 2), (3, 2)]
    for number in range(MEMOIZED):
        measure(str(number))
    asked.clear()
    measure("abc")
    assert asked == [(3, 1)]
    assert measure.__doc__ == "Return the length."


def test_long_texts_are_not_kept() -> None:
    """They would take the memory of thousands of short ones."""
    asked: list[int] = []

    @memoize
    def measure(text: bytes) -> int:
        asked.append(len(text))
        return len(text)

    for _ in range(2):
        measure(b"x" * LONGEST_MEMOIZED)
        measure(b"x" * (LONGEST_MEMOIZED + 1))
    assert asked == [LONGEST_MEMOIZED, LONGEST_MEMOIZED + 1, LONGEST_MEMOIZED + 1]
