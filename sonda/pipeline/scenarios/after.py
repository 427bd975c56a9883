"""`after`: an entry that starts when a condition on another entry's values first holds.

It is solved when the scenario is compiled, exactly, from the other entry's shape (not its noise).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import lcm
from operator import gt, lt
from typing import Final

from sonda.pipeline.scenarios.generators.sawtooth import Sawtooth
from sonda.pipeline.scenarios.generators.sequence import Sequence as ListedValues
from sonda.pipeline.scenarios.generators.spike import Spike
from sonda.pipeline.scenarios.generators.step import Step
from sonda.pipeline.scenarios.numbers import as_number, ceil_ns, fraction, seconds
from sonda.pipeline.scenarios.plan import Entry
from sonda.pipeline.scenarios.reading import Path
from sonda.pipeline.scenarios.series import FleetEntry
from sonda.pipeline.scenarios.structure import Issues, Piece
from sonda.pipeline.scenarios.values import Values
from sonda.pipeline.schemas.remedies import did_you_mean
from sonda.pipeline.text.escape import quote
from sonda.pipeline.values.timestamps import LATEST_NS

_MOST_SHOWN: Final = 10  # entries of a cycle
_OPERATORS: Final[Mapping[str, Callable[[Fraction, Fraction], bool]]] = {"<": lt, ">": gt}
_SOLVED: Final = (
    "flap, saturation, leak, degradation, spike_event, sequence, sawtooth, step and spike"
)


class Unsolvable(Exception):  # noqa: N818  # it is an answer, and never leaves this module
    """There is no time at which the condition first holds; the text says why."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A comparison with a *value*; *op* is `<` or `>`."""

    op: str
    value: Fraction

    def holds(self, value: Fraction) -> bool:
        return _OPERATORS[self.op](value, self.value)

    def __str__(self) -> str:
        return f"{self.op} {as_number(self.value)}"


def first_in_range(step: int, modulus: int, low: int, high: int) -> int | None:
    """Return the smallest k >= 0 for which k·step mod modulus is from *low* to *high*.

    0 <= low <= high < modulus and 0 <= step < modulus; in logarithmic time, as Euclid's algorithm.
    """
    if low == 0:
        return 0
    if step == 0:
        return None
    first = -(-low // step)
    if first * step <= high:
        return first
    turns = first_in_range(modulus % step, step, -high % step, -low % step)
    return None if turns is None else -(-(low + modulus * turns) // step)


def solve(entry: Entry, condition: Condition) -> Fraction:
    """Return when *condition* first holds for an entry's values, in seconds from its start.

    Raises `Unsolvable` where there is no such time.
    """
    if not isinstance(entry.content, Values):
        if entry.signal_type == "logs":
            raise Unsolvable("is of logs, which have no value")
        raise Unsolvable("is of observations, which are no single value")
    schedule = entry.each if isinstance(entry, FleetEntry) else entry.schedule
    match entry.content.shape:
        case Sawtooth() as shape:
            return _solve_sawtooth(shape, condition)
        case Spike() as shape:
            return _solve_spike(shape, condition)
        case ListedValues() as shape:
            tick = _first_listed(shape, condition)
        case Step() as shape:
            tick = _first_step(shape, condition)
        case _:
            raise Unsolvable(f"has a generator that cannot be solved; those that can: {_SOLVED}")
    planned = schedule.planned
    if planned is not None and tick >= planned:
        raise Unsolvable(f"ends before it is {condition}, which would be at its tick {tick}")
    return schedule.due(tick)


def _always(condition: Condition) -> Unsolvable:
    return Unsolvable(f"is {condition} from its start on: choose another value, or leave after out")


def _never(condition: Condition) -> Unsolvable:
    return Unsolvable(f"is never {condition}")


def _solve_sawtooth(shape: Sawtooth, condition: Condition) -> Fraction:
    """Return when the rise passes the value: it is above it from then on, until the period's end.

    That is at 0 where it begins at the value, which is not above itself.
    """
    if condition.op == "<":
        raise _always(condition) if shape.low < condition.value else _never(condition)
    if shape.high <= condition.value:
        raise _never(condition)
    if shape.low > condition.value:
        raise _always(condition)
    return (condition.value - shape.low) / (shape.high - shape.low) * shape.period


def _solve_spike(shape: Spike, condition: Condition) -> Fraction:
    if condition.holds(shape.baseline + shape.magnitude):
        raise _always(condition)
    if shape.duration >= shape.interval or not condition.holds(shape.baseline):
        raise _never(condition)
    return shape.duration


def _first_listed(shape: ListedValues, condition: Condition) -> int:
    for tick, value in enumerate(shape.values):
        if condition.holds(value):
            if tick == 0:
                raise _always(condition)
            return tick
    raise _never(condition)


def _first_step(shape: Step, condition: Condition) -> int:
    if condition.holds(shape.start):
        raise _always(condition)
    needed = condition.value - shape.start
    if shape.span is None:
        towards = shape.size > 0 if condition.op == ">" else shape.size < 0
        if not towards:
            raise _never(condition)
        return needed // shape.size + 1
    if condition.op == "<":  # the start is the lowest
        raise _never(condition)
    below = lcm(shape.size.denominator, shape.span.denominator, needed.denominator)
    span, low = int(shape.span * below), int(needed * below) + 1
    tick = (
        None if low >= span else first_in_range(int(shape.size * below) % span, span, low, span - 1)
    )
    if tick is None:
        raise _never(condition)
    return tick


@dataclass(slots=True)
class AfterResolver:
    """Finds when each entry of a document starts."""

    pieces: Sequence[Piece]
    entries: Sequence[Entry]
    issues: Issues

    def resolve(self) -> list[Entry]:
        """Return the entries, each with the phase that its `after` gives it."""
        by_id = {entry.id: place for place, entry in enumerate(self.entries)}
        resolved: dict[int, Entry] = {}
        for place in range(len(self.entries)):
            chain: list[int] = []
            at: int | None = place
            while at is not None and at not in resolved:
                if at in chain:
                    self._cycle([*chain[chain.index(at) :], at])
                    return list(self.entries)
                chain.append(at)
                at = self._reference(at, by_id)
                if at == -1:
                    return list(self.entries)
            for one in reversed(chain):
                made = self._start(one, resolved, by_id)
                if made is None:
                    return list(self.entries)
                resolved[one] = made
        return [resolved[place] for place in range(len(self.entries))]

    def _path(self, place: int) -> Path:
        return (*self.pieces[place].path, "after")

    def _reference(self, place: int, by_id: Mapping[str, int]) -> int | None:
        """Return the place of the entry that another waits for; -1 where there is none of that id."""
        after = self.pieces[place].written.get("after")
        if after is None:
            return None
        ref = after["ref"]
        if ref not in by_id:
            hint = did_you_mean(ref, list(by_id))
            reason = f"there is no entry {quote(ref)}{hint}"
            self.issues.value((*self._path(place), "ref"), reason)
        return by_id.get(ref, -1)

    def _cycle(self, chain: Sequence[int]) -> None:
        shown = [self.entries[place].id for place in chain]
        if len(shown) > _MOST_SHOWN:
            shown[_MOST_SHOWN - 1 : -1] = ["…"]
        names = " after ".join(shown)
        reason = f"is a cycle ({names}): one of them has to start by itself"
        self.issues.value(self._path(chain[0]), reason)

    def _start(
        self, place: int, resolved: Mapping[int, Entry], by_id: Mapping[str, int]
    ) -> Entry | None:
        entry, after = self.entries[place], self.pieces[place].written.get("after")
        if after is None:
            return entry
        other = resolved[by_id[after["ref"]]]
        try:
            delay = seconds(after.get("delay", "0s"))
        except ValueError as exc:
            self.issues.value((*self._path(place), "delay"), str(exc))
            return None
        try:
            x = solve(other, Condition(after["op"], fraction(after["value"])))
            _check_end(other, x)
        except Unsolvable as exc:
            self.issues.value(self._path(place), f"entry {quote(other.id)} {exc}")
            return None
        started = replace(entry, phase=entry.phase + other.phase + x + delay, after=other.id)
        planned = started.planned
        last = Fraction(0) if planned is None else started.schedule.due(planned - 1)
        if started.start_ns + ceil_ns(last) > LATEST_NS:
            reason = "the last event would be after 2262-04-11T23:47:16Z"
            self.issues.value(self.pieces[place].path, reason)
            return None
        return started


def _check_end(other: Entry, x: Fraction) -> None:
    """Check that an entry goes on until *x*."""
    ends_at = other.ends_at
    if ends_at is None:
        return
    end = ends_at - other.phase
    if x > end or (x == end and other.schedule.duration is not None):
        raise Unsolvable(
            f"ends after {as_number(end)} s, and the condition would hold after {as_number(x)} s"
        )


def resolve_after(
    pieces: Sequence[Piece], entries: Sequence[Entry], issues: Issues
) -> Sequence[Entry]:
    """Return the entries with the phases that their `after` gives them."""
    if not any(isinstance(piece.written.get("after"), dict) for piece in pieces):
        return entries
    return AfterResolver(pieces, entries, issues).resolve()
