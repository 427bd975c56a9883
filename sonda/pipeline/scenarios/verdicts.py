"""The verdicts on the events of a group, sorted for the ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from sonda.pipeline.problems import OutcomeUnknown, Problem
from sonda.pipeline.scenarios.account import text_of
from sonda.pipeline.scenarios.sender import GroupVerdict

_SAMPLES: Final = 64  # ticks that stand for those of a whole group


class SortedTicks(NamedTuple):
    """The ticks of a group: delivered, to be tried again, and the others by column and text."""

    delivered: Sequence[int]
    unsent: Sequence[int]
    others: Mapping[tuple[str, str], Sequence[int]]


def sort_ticks(
    ticks: Sequence[int], verdict: GroupVerdict, may_try_again: Callable[[Problem], bool]
) -> SortedTicks:
    """Sort the ticks of a group by their verdicts."""
    if not verdict.problems:
        return SortedTicks(ticks, (), {})
    others: dict[tuple[str, str], list[int]] = {}
    unsent: list[int] = []
    delivered: list[int] = []
    for place, tick in enumerate(ticks):
        problem = verdict.problems.get(place)
        if problem is None:
            delivered.append(tick)
        elif may_try_again(problem):
            unsent.append(tick)
        else:
            column = "unknown" if isinstance(problem, OutcomeUnknown) else "rejected"
            others.setdefault((column, text_of(problem)), []).append(tick)
    return SortedTicks(delivered, unsent, others)


def sampled(ticks: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield some ticks of a large group, and for how many each stands."""
    step = -(-len(ticks) // _SAMPLES)
    for place in range(0, len(ticks), step):
        yield ticks[place], min(step, len(ticks) - place)
