"""What goes to the terminal, to standard output and to the file of failed events."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Literal, TextIO

import click

from sonda.cli.outcomes import Exit, Outcome, worst
from sonda.cli.reading import as_read
from sonda.pipeline.text.compact_json import compact_text
from sonda.pipeline.text.escape import escape

_FAILED_MODE: Final = 0o600  # an event may have credentials in it
_COLOURS: Final = {
    Exit.DELIVERED: "green",
    Exit.REJECTED: "red",
    Exit.INVALID: "red",
    Exit.UNKNOWN: "yellow",
    Exit.UNSEEN: "yellow",
}


def show(
    verdicts: Sequence[tuple[str, Outcome]],
    stdout: TextIO,
    *,
    as_json: bool,
    quiet: bool = False,
) -> Exit:
    """Print every answer, and return the exit status; *quiet* leaves out what was delivered.

    A program reads all of them as JSON on *stdout*. A person reads there what went well, and the
    rest, warnings included, on standard error. That an answer cannot be printed changes nothing
    about the event.
    """
    try:
        for where, outcome in verdicts:
            if quiet and not outcome.exit:
                continue
            if as_json:
                click.echo(compact_text(outcome.answer), file=stdout)
            else:
                _print_outcome(where, outcome, stdout)
    except OSError as exc:
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, stdout.fileno())  # the interpreter flushes once more as it ends
        if not isinstance(exc, BrokenPipeError):
            with suppress(OSError):
                click.echo(f"cannot print the answer: {exc.strerror}", err=True)
    return worst(outcome for _, outcome in verdicts)


def _print_outcome(where: str, outcome: Outcome, stdout: TextIO) -> None:
    before = f"{where}: " if where else ""
    for place, line in outcome.placed or (("", outcome.line),):
        word, rest = _parted(escape(line))
        coloured = click.style(word, fg=_COLOURS[outcome.exit])
        start = f"{escape(place)}: " if place else before
        click.echo(f"{start}{coloured}{rest}", file=sys.stderr if outcome.exit else stdout)
    for detail in outcome.details:
        click.echo(f"  {detail}", file=stdout)
    for warning in outcome.warnings:
        click.echo(f"{before}{click.style('warning', fg='yellow')}: {escape(warning)}", err=True)


def _parted(line: str) -> tuple[str, str]:
    """Part the verdict from the rest of its line."""
    length = next((n for n, letter in enumerate(line) if not letter.isalpha()), len(line))
    return line[:length], line[length:]


@contextmanager
def progress(count: int, many: int) -> Iterator[Callable[[int], object]]:
    """Show a bar on standard error while many events are on their way and somebody is watching."""
    if count <= many or not sys.stderr.isatty():
        yield int
        return
    with click.progressbar(length=count, label="sending", file=sys.stderr, show_pos=True) as bar:
        yield bar.update


def summarize(outcomes: Sequence[Outcome]) -> None:
    """Print how many events had which outcome."""
    counted = Counter(outcome.exit for outcome in outcomes)
    listed = ", ".join(
        f"{counted[verdict]:,} {verdict.word}" for verdict in Exit if counted[verdict]
    )
    click.echo(f"{len(outcomes):,} events: {listed}", err=True)


def require_writable(path: Path) -> None:
    """Check that *path* can be written, and leave what it holds; raise click's `UsageError`."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, _FAILED_MODE))
    except OSError as exc:
        reason = f"cannot write {path}: {exc.strerror}"
        raise click.BadParameter(reason, param_hint="'--failed'") from None


def write_failed(
    path: Path, written: Sequence[str], outcomes: Sequence[Outcome], how: str = ""
) -> list[str]:
    """Write the events that may be sent again, one a line, with the timestamps of this try.

    Those that are not valid are appended to a file beside it, whose name ends in `.invalid`.
    Return what to tell the user of both files; *how* continues "to be sent again".
    """
    again, invalid = [], []
    for line, outcome in zip(written, outcomes, strict=True):
        if outcome.is_events_fault:
            invalid.append(line)
        elif outcome.exit not in (Exit.DELIVERED, Exit.UNSEEN):
            again.append(line)
    apart = path.with_name(f"{path.name}.invalid")
    notes = [
        _write(path, "wb", again, f"what was not delivered is in {path}, to be sent again{how}"),
        _write(apart, "ab", invalid, f"what is not valid is in {apart}") if invalid else "",
    ]
    return [note for note in notes if note]


def _write(path: Path, mode: Literal["ab", "wb"], lines: Sequence[str], note: str) -> str:
    """Write lines to a file; return *note* where there are any, or why they could not be written."""

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags, _FAILED_MODE)

    try:
        with open(path, mode, opener=opener) as file:
            file.writelines(as_read(line) + b"\n" for line in lines)
    except OSError as exc:
        return f"cannot write {path}: {exc.strerror}; it lacks events that failed"
    return note if lines else ""
