"""The tally of what was proved: events sent to each real destination, and found there again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(slots=True)
class Row:
    """One destination: how often it was checked, and with how many events."""

    checks: int = 0
    sent: int = 0
    found: int = 0


@dataclass(slots=True)
class Ledger:
    """One row per destination; a declared one without checks is a test that did not run."""

    rows: dict[str, Row] = field(default_factory=dict)

    @classmethod
    def of(cls, destinations: Iterable[str]) -> Ledger:
        """Open a tally that expects these destinations to be checked."""
        return cls({destination: Row() for destination in destinations})

    def record(self, destination: str, *, sent: int, found: int) -> None:
        """Add one check: so many events were sent, and so many of them were read back."""
        row = self.rows.setdefault(destination, Row())
        row.checks += 1
        row.sent += sent
        row.found += found

    def plain(self) -> dict[str, tuple[int, int, int]]:
        """Return the rows in a form that one process can hand to another."""
        return {name: (row.checks, row.sent, row.found) for name, row in self.rows.items()}

    def add(self, rows: Mapping[str, tuple[int, int, int]]) -> None:
        """Add the rows of another process."""
        for name, (checks, sent, found) in rows.items():
            row = self.rows.setdefault(name, Row())
            row.checks += checks
            row.sent += sent
            row.found += found

    def unchecked(self) -> list[str]:
        """Return the destinations that were declared and not checked."""
        return [destination for destination, row in self.rows.items() if not row.checks]

    def table(self) -> str:
        """Render the rows for a terminal."""
        head = ("destination", "checks", "events sent", "events found")
        body = [
            (name, str(row.checks), str(row.sent), str(row.found))
            for name, row in self.rows.items()
        ]
        width = max(len(line[0]) for line in (head, *body))
        return "\n".join(
            f"{name:<{width}} | {checks:>6} | {sent:>11} | {found:>12}"
            for name, checks, sent, found in (head, *body)
        )
