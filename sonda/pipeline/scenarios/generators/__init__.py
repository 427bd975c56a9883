"""Values of metrics: one module each, its file name is its wire name.

A shape is a pure function of the tick and of the exact time at which it is due. It has two forms:
`exact` for one tick, and `ratios` (or `doubles`) for a stretch of ticks; they are equal to the last
bit. An alias is rewritten into a plain generator once, when the scenario is compiled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from importlib import import_module
from typing import Any, NamedTuple, Protocol, TypeAlias

from sonda.pipeline.scenarios.draw import Draw
from sonda.pipeline.scenarios.schedule import Progression

Parameters: TypeAlias = Mapping[str, Any]
"""A generator's parameters with their defaults; numbers are fractions, durations are in seconds."""


class Ratios(NamedTuple):
    """Exact values: integers over one denominator."""

    numerators: Sequence[int]
    denominator: int

    def doubles(self) -> list[float]:
        """Return the values, each rounded once."""
        below = self.denominator
        return [above / below for above in self.numerators]


class Shape(Protocol):
    """What a generator's value is at any tick; *x* is the time at which it is due, in seconds."""

    def exact(self, tick: int, x: Fraction) -> Fraction: ...

    def ratios(self, x: Progression) -> Ratios: ...

    def doubles(self, x: Progression) -> list[float]: ...

    def bounds(self, ticks: int) -> tuple[Fraction, Fraction]:
        """Return two values between which those of the first *ticks* ticks lie."""
        ...


@dataclass(frozen=True, slots=True)
class Generator:
    """A plain generator. *check* returns a parameter's name and what is wrong with it."""

    build: Callable[[Parameters, Draw], Shape]
    check: Callable[[Parameters], tuple[str, str] | None] = lambda _: None


@dataclass(frozen=True, slots=True)
class Rewritten:
    """What an alias stands for: a plain generator, and perhaps the entry's jitter."""

    type: str
    parameters: Parameters
    jitter: Fraction | None = None
    jitter_seed: int | None = None


@dataclass(frozen=True, slots=True)
class Alias:
    """Another name for a plain generator; one that *must_not_reset* may not begin again."""

    rewrite: Callable[[Parameters], Rewritten]
    check: Callable[[Parameters], tuple[str, str] | None] = lambda _: None
    must_not_reset: bool = False


def load(name: str) -> Generator | Alias:
    """Import the generator *name*."""
    found: Generator | Alias = import_module(f"{__name__}.{name}").GENERATOR
    return found
