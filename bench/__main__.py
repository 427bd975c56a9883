"""Measure, print the table, and after a full run write `RESULTS.md`; `make bench` calls this."""

from __future__ import annotations

import signal
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, TypeVar

from . import summary
from .load import find_wrk
from .measure import Echo, Measured, Plan, Result, failure, measure, say
from .programs import PROGRAMS, run_program
from .report import results_page, tables, targets_table
from .rows import ROWS
from .server import run_echo
from .server_costs import QUICK_TRIES, TRIES, Memory, Start, measure_memory, measure_start
from .targets import Figures
from .versions import versions

START: Final = "start"
MEMORY: Final = "memory"
NAMES: Final = (
    *(START, *(row.name for row in ROWS)),
    *(*(program.name for program in PROGRAMS), MEMORY),
)
QUICK: Final = Plan(clients=(1, 64), seconds=1, rounds=1, is_quick=True)
QUICK_NAMES: Final = tuple(name for name in NAMES if name != MEMORY)
"""A million events take minutes, which is not quick: whoever wants them names them."""

T = TypeVar("T")


def main(argv: Sequence[str] | None = None) -> int:
    """Run what the options name."""
    options = _parser().parse_args(argv)
    if find_wrk() is None:
        say("wrk is not installed: run `make backends`")
        return 1
    plan = _plan(options)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # all that was started is ended
    run = Run(plan)
    is_whole = not (options.row or options.rows) and plan == Plan()
    try:
        with TemporaryDirectory(prefix="sonda-bench-") as folder:
            names = QUICK_NAMES if options.quick else NAMES
            run.measure(options.row or options.rows or names, Path(folder))
    except KeyboardInterrupt:
        say("interrupted: what has been measured is shown")
        is_whole = False
    print(f"{tables(run.figures)}\n\n{targets_table(run.figures)}")
    if is_whole or options.write:
        page = results_page(run.figures, plan, versions(), is_whole=is_whole)
        summary.RESULTS.write_text(page, encoding="utf-8")
        summary.write()
        say(f"written to {summary.RESULTS.name}")
    return 128 + signal.SIGINT if run.was_interrupted else 0


class Run:
    """One run: what it has measured so far is in its *figures*, whatever ends it."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._results: dict[str, Result] = {}
        self._echo: dict[int, list[Measured]] = {}
        self._logging_echo: dict[int, list[Measured]] = {}
        self._start: Start | None = None
        self._memory: Memory | None = None
        self._programs: dict[str, str] = {}
        self.was_interrupted = True

    @property
    def figures(self) -> Figures:
        """What has been measured."""
        return Figures(
            self._results,
            self._echo,
            self._logging_echo,
            self._start,
            self._memory,
            self._programs,
        )

    def measure(self, names: Sequence[str], folder: Path) -> None:
        """Measure all that is named; what fails is reported, and all else is measured."""
        if START in names:
            tries = QUICK_TRIES if self._plan.is_quick else TRIES
            self._start = _attempt(START, partial(measure_start, folder / START, tries))
        if any(row.name in names for row in ROWS):
            self._measure_rows(names, folder)
        for program in PROGRAMS:
            if program.name in names:
                is_quick = self._plan.seconds < Plan().seconds
                printed = run_program(program, is_quick=is_quick)
                self._programs[program.title] = printed
        if MEMORY in names:
            self._memory = _attempt(MEMORY, partial(measure_memory, folder / MEMORY))
        self.was_interrupted = False

    def _measure_rows(self, names: Sequence[str], folder: Path) -> None:
        with (
            run_echo(folder / "echo") as running,
            run_echo(folder / "logging-echo", "--access-log") as running_with_log,
        ):
            echo, logging_echo = Echo(running, self._plan), Echo(running_with_log, self._plan)
            self._echo, self._logging_echo = echo.measured, logging_echo.measured
            echo.warm_up()
            for clients in self._plan.clients:
                say(f"echo, {clients} clients")
                echo.measure(clients)
                logging_echo.measure(clients)
            for row in ROWS:
                if row.name in names:
                    place = folder / row.name.replace("/", "-")
                    self._results[row.name] = measure(row, echo, self._plan, place)


def _attempt(name: str, work: Callable[[], T]) -> T | None:
    """Return what *work* measures, or nothing if it fails: the rest is not to be lost."""
    try:
        return work()
    except Exception as exc:  # noqa: BLE001  # as in `measure`
        say(f"{name}: failed: {failure(exc)}")
        return None


def _plan(options: Namespace) -> Plan:
    usual = QUICK if options.quick else Plan()
    return Plan(
        clients=options.clients or usual.clients,
        seconds=options.seconds or usual.seconds,
        rounds=options.rounds or usual.rounds,
        workers=options.workers,
        is_quick=usual.is_quick,
    )


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="make bench", description=__doc__, allow_abbrev=False)
    parser.add_argument(
        "--rows",
        type=_names,
        help=f"only these, separated by commas ({', '.join(NAMES)}); a name takes in what follows "
        "it behind a slash",
    )
    parser.add_argument("--row", nargs=1, choices=NAMES, metavar="ROW", help="only this one")
    parser.add_argument(
        "--quick", action="store_true", help="one round of a second, in under 10 minutes"
    )
    parser.add_argument(
        "--seconds",
        type=int,
        help="per measurement; with 1, in place of 5, all is done in a quarter of an hour",
    )
    parser.add_argument("--rounds", type=int, help="of which the median is shown")
    parser.add_argument("--clients", type=_numbers, help="how many at a time, as in 1,16,64")
    parser.add_argument("--workers", type=int, default=1, help="processes that serve")
    parser.add_argument(
        "--write", action="store_true", help=f"write {summary.RESULTS.name} in any case"
    )
    return parser


def _names(text: str) -> tuple[str, ...]:
    """Expand the names; an empty text is all of them."""
    chosen: list[str] = []
    for asked in filter(None, text.split(",")):
        found = [name for name in NAMES if name == asked or name.startswith(f"{asked}/")]
        if not found:
            raise ArgumentTypeError(f"there is no row {asked!r}; there are: {', '.join(NAMES)}")
        chosen += found
    return tuple(chosen)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(",")))


if __name__ == "__main__":
    sys.exit(main())
