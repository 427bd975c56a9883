"""A bar per entry on the terminal, while a scenario runs."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from sonda.pipeline.scenarios import report
from sonda.pipeline.text.escape import escape


class Bars:
    """Bars on standard error; an entry without an end has one that only moves."""

    def __init__(self, planned: Mapping[str, int | None]) -> None:
        self._console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[counted]}", markup=False),
            console=self._console,
        )
        self._tasks: dict[str, TaskID] = {
            entry: self._progress.add_task(escape(entry), total=count, counted="")
            for entry, count in planned.items()
        }

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def show(self, progress: report.Progress) -> None:
        """Move each bar to where its entry is."""
        for entry in progress.entries:
            ledger = entry.ledger
            done = ledger.delivered + ledger.rejected + ledger.unknown + ledger.skipped
            planned = "" if ledger.planned is None else f" of {ledger.planned:,}"
            others = [
                f"{count:,} {name}"
                for name, count in (
                    ("rejected", ledger.rejected),
                    ("unknown", ledger.unknown),
                    ("skipped", ledger.skipped),
                )
                if count
            ]
            counted = ", ".join(
                [
                    f"{ledger.delivered:,}{planned} delivered",
                    *others,
                    f"{entry.last_1s:,.4g}/s of {entry.target_rate:,.4g}/s",
                    f"lag {entry.lag_s:.1f} s",
                ]
            )
            self._progress.update(self._tasks[entry.id], completed=done, counted=counted)

    def notice(self, entry: str, text: str) -> None:
        """Print a problem above the bars."""
        self._console.print(f"{entry}: {escape(text)}", markup=False, highlight=False)
