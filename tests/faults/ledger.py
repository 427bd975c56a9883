"""The table of what was broken on purpose: sink and fault, how often, and what became of the events."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import astuple, dataclass, field, fields
from typing import Final, TypeAlias

IS_FULL: Final = os.environ.get("FAULTS") == "full"  # `make test-all`
FEWEST_EVENTS: Final = 500 if IS_FULL else 50  # per row
FEWEST_OF_A_SINK: Final = 10_000 if IS_FULL else 500  # per network sink

Place: TypeAlias = tuple[str, str]
"""A sink, and what happens to it."""


@dataclass(slots=True)
class Row:
    """How often a fault really fired, and the events that were sent meanwhile.

    *found* are those that the destination has in the end, whatever their answer was.
    """

    fired: int = 0
    events: int = 0
    delivered: int = 0
    rejected: int = 0
    unknown: int = 0
    found: int = 0

    def add(self, other: Row) -> None:
        """Add one run of the same row."""
        for column in fields(self):
            total = getattr(self, column.name) + getattr(other, column.name)
            setattr(self, column.name, total)


@dataclass(slots=True)
class Ledger:
    """One row per sink and fault; a declared one that never fired is a test that did not run."""

    seed: str
    rows: dict[Place, Row] = field(default_factory=dict)

    def declare(self, places: Iterable[Place]) -> None:
        """Expect these faults to fire."""
        for place in places:
            self.rows.setdefault(place, Row())

    def plain(self) -> list[tuple[Place, tuple[int, ...]]]:
        """Return the rows in a form that one process can hand to another."""
        return [(place, astuple(row)) for place, row in self.rows.items()]

    def record(self, place: Place, row: Row) -> None:
        """Add one run."""
        self.rows.setdefault(place, Row()).add(row)

    def gaps(self) -> list[str]:
        """Say which faults never fired."""
        return [f"{sink}: {fault}" for (sink, fault), row in self.rows.items() if not row.fired]

    def table(self) -> str:
        """Render the rows that were played for a terminal, with a sum per sink."""
        names = [column.name for column in fields(Row)]
        sums: dict[str, Row] = {}
        lines = [("sink", "fault", *names)]
        for (sink, fault), row in self.rows.items():
            if not row.events:
                continue
            sums.setdefault(sink, Row()).add(row)
            lines.append((sink, fault, *map(str, astuple(row))))
        lines += [(sink, "all of them", *map(str, astuple(row))) for sink, row in sums.items()]
        widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
        return "\n".join(
            " | ".join(
                text.ljust(width) if column < 2 else text.rjust(width)
                for column, (text, width) in enumerate(zip(line, widths, strict=True))
            )
            for line in lines
        )
