"""What a person and a program see of `sonda run`: the plan, the progress, the ledger."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, Protocol, TextIO

import click

from sonda.cli.interruption import Stops
from sonda.cli.outcomes import Exit, redact
from sonda.loops import run as run_loop
from sonda.pipeline.events import to_json
from sonda.pipeline.net import Network
from sonda.pipeline.samples import one_by_one
from sonda.pipeline.scenarios.plan import Scenario, public
from sonda.pipeline.scenarios.plan_document import plan_document
from sonda.pipeline.scenarios.report import Progress, Report
from sonda.pipeline.scenarios.run import Run
from sonda.pipeline.scenarios.states import RunLimits, Shard
from sonda.pipeline.text.cards import lines_of_preview
from sonda.pipeline.text.compact_json import compact_text
from sonda.pipeline.text.escape import escape

_EVERY_S: Final = 5.0
_FAILED_MODE: Final = 0o600  # an event may have credentials in it


def show_plan(scenario: Scenario, secrets: Mapping[str, str], *, as_json: bool) -> Exit:
    """Print the plan; return the exit status."""
    return print_plan(redact(plan_document(scenario, Network()), secrets), as_json=as_json)


def print_plan(document: Mapping[str, Any], *, as_json: bool) -> Exit:
    """Print a plan as JSON has it; return the exit status."""
    if as_json:
        click.echo(compact_text(document))
        return Exit.DELIVERED
    for one in document["scenarios"]:
        planned = "without an end" if one["planned"] is None else f"{one['planned']:,} events"
        starts = f" from {one['starts_at_s']:g} s" if "starts_at_s" in one else ""
        ends = "" if one["ends_at_s"] is None else f" until {one['ends_at_s']:g} s"
        click.echo(
            f"{click.style(one['id'], bold=True)}: {planned}{starts}{ends}, {one['series']:,} series"
        )
        if "rewritten" in one:
            click.echo(f"  means {json.dumps(one['rewritten'], ensure_ascii=False)}")
        for event in one["events"]:
            click.echo(f"  {escape(event.removesuffix(chr(10)))}")
        for line in lines_of_preview(one["preview"]):
            click.echo(f"    {line}")
    warn(document.get("warnings", ()))
    return Exit.DELIVERED


def warn(warnings: Any) -> None:
    """Print advisories."""
    for warning in warnings:
        click.echo(f"{click.style('warning', fg='yellow')}: {escape(warning)}", err=True)


class Watcher(Protocol):
    """What shows a run while it goes on."""

    def show(self, progress: Progress) -> None:
        """Show how far the run has got."""

    def notice(self, entry: str, text: str) -> None:
        """Show a problem of an entry's, whose text is new."""


def run_scenario(
    scenario: Scenario,
    secrets: Mapping[str, str],
    *,
    drain_s: float,
    failed: Path | None,
    as_json: bool,
    stops: Stops,
) -> Exit:
    """Run a scenario to its end; print its ledger, and return the exit status."""
    warn(redact(scenario.warnings, secrets))
    report = run_loop(_run(scenario, secrets, RunLimits(drain_s=drain_s), stops))
    started = scenario.starting(report.started_ns)
    if failed is not None:
        _write_undelivered(failed, started, report)
    return print_report(report, secrets, as_json=as_json, shard=scenario.shard)


def print_report(
    report: Report,
    secrets: Mapping[str, str] = {},
    *,
    as_json: bool,
    shard: Shard | None = None,
) -> Exit:  # nobody writes to it
    """Print a ledger; return the exit status."""
    with suppress(BrokenPipeError):
        if as_json:
            document = redact(report.document(), secrets)
            if shard is not None:
                document["shard"] = asdict(shard)
            click.echo(compact_text(document))
        else:
            for line in str(redact(str(report), secrets)).split("\n"):
                click.echo(escape(line), err=True)
    return exit_status(report)


def exit_status(report: Report) -> Exit:
    """Return the status of the worst verdict; how the run was stopped does not count."""
    ledger = report.ledger
    if ledger.unknown:
        return Exit.UNKNOWN
    return Exit.REJECTED if ledger.rejected or ledger.skipped else Exit.DELIVERED


async def _run(
    scenario: Scenario, secrets: Mapping[str, str], limits: RunLimits, stops: Stops
) -> Report:
    loop = asyncio.get_running_loop()
    with watching({entry.id: entry.planned for entry in scenario.entries}) as watcher:

        def notice(entry: str, text: str) -> None:
            if text not in noticed:
                noticed.add(text)
                watcher.notice(entry, str(redact(text, secrets)))

        noticed: set[str] = set()
        async with Run(scenario, limits=limits, noticed=notice) as run:

            def stop(signals: int) -> None:
                loop.call_soon_threadsafe(run.stop if signals == 1 else run.cut_off)

            with stops.calling(stop):
                async for progress in run:
                    watcher.show(progress)
                return (await run.report()).unwrap()


@contextmanager
def watching(planned: Mapping[str, int | None]) -> Iterator[Watcher]:
    """Show a run on standard error, by bars on a terminal; *planned* has its entries' events."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    from sonda.cli.progress_bars import Bars

    with Bars(planned) as bars:
        yield bars


class _Lines:
    """A line every few seconds, for a log."""

    def __init__(self) -> None:
        self._next_s = _EVERY_S

    def show(self, progress: Progress) -> None:
        if progress.elapsed_s >= self._next_s:
            self._next_s = progress.elapsed_s + _EVERY_S
            rate = sum(entry.last_1s for entry in progress.entries)
            target = sum(entry.target_rate for entry in progress.entries)
            counted = f"{progress.ledger}; {rate:g}/s of {target:g}/s, lag {progress.lag_s:.1f} s"
            click.echo(f"{progress.name}: {counted}", err=True)

    def notice(self, entry: str, text: str) -> None:
        click.echo(f"{entry}: {escape(text)}", err=True)


def open_private(path: Path) -> TextIO:
    """Open a file to write, which nobody else may read."""
    return open(  # pathlib knows no opener
        path,
        "w",
        encoding="utf-8",
        opener=lambda name, flags: os.open(name, flags, _FAILED_MODE),
    )


def _write_undelivered(path: Path, scenario: Scenario, report: Report) -> None:
    """Write the events that were not delivered, one a line, as `sonda emit` takes them."""
    try:
        with open_private(path) as file:
            for entry, found in zip(scenario.entries, report.entries, strict=True):
                for ticks in (part for ranges in found.ticks.values() for part in ranges):
                    for tick in ticks:
                        event = public(entry.event(tick), entry)
                        for one in one_by_one(event):
                            file.write(to_json(one).unwrap().decode() + "\n")
                if found.truncated:
                    click.echo(f"{path} lacks events of {entry.id}: too many to be kept", err=True)
    except OSError as exc:
        click.echo(f"cannot write {path}: {exc.strerror}; it lacks events that failed", err=True)
