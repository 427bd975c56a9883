"""Measure, print the table, and after a full run write `RESULTS.md`; `make bench` calls this."""

from __future__ import annotations

import signal
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from . import visible
from .load import find_wrk
from .measure import FAILURES, Echo, Plan, measure, say
from .report import events_table, results_page, targets_table
from .rows import ROWS
from .server import run_echo
from .server_costs import Memory, measure_memory, measure_start
from .targets import Figures
from .versions import versions

RESULTS: Final = Path(__file__).with_name("RESULTS.md")
START: Final = "start"
MEMORY: Final = "memory"
VISIBLE: Final = "visible"
NAMES: Final = (*(row.name for row in ROWS), START, MEMORY, VISIBLE)
QUICK: Final = Plan(clients=(1, 64), seconds=1, rounds=1, is_quick=True)
QUICK_NAMES: Final = tuple(name for name in NAMES if name not in (MEMORY, VISIBLE))
"""A million events, and some products' sight of one, take minutes: whoever wants them names them."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run what the options name."""
    options = _parser().parse_args(argv)
    if options.rows == (VISIBLE,):
        _write_visible(is_quick=options.quick)
        return 0
    if find_wrk() is None:
        say("wrk is not installed: run `make backends`")
        return 1
    plan = _plan(options)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # all that was started is ended
    try:
        with TemporaryDirectory(prefix="sonda-bench-") as folder:
            names = QUICK_NAMES if options.quick else NAMES
            figures = _run(options.rows or names, plan, Path(folder))
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    print(f"{events_table(figures)}\n\n{targets_table(figures)}")
    full = not options.rows and plan == Plan()
    if VISIBLE in (options.rows or names):
        _write_visible(is_quick=options.quick)
    if full or options.write:
        RESULTS.write_text(results_page(figures, plan, versions()), encoding="utf-8")
        say(f"written to {RESULTS.name}")
    return 0


def _run(names: Sequence[str], plan: Plan, folder: Path) -> Figures:
    start = measure_start(folder / START) if START in names else None
    results = {}
    with (
        run_echo(folder / "echo") as running,
        run_echo(folder / "logging-echo", "--access-log") as running_with_log,
    ):
        echo, logging_echo = Echo(running, plan), Echo(running_with_log, plan)
        echo.warm_up()
        for clients in plan.clients:
            say(f"echo, {clients} clients")
            echo.measure(clients)
            logging_echo.measure(clients)
        for row in ROWS:
            if row.name in names:
                results[row.name] = measure(row, echo, plan, folder / row.name.replace("/", "-"))
    memory = _memory(folder / MEMORY) if MEMORY in names else None
    return Figures(results, echo.measured, logging_echo.measured, start, memory)


def _write_visible(*, is_quick: bool) -> None:
    """Measure how soon events are seen, print it, and write it unless that was quick."""
    shown = visible.measure(is_quick=is_quick)
    print(shown)
    if not is_quick:
        visible.PAGE.write_text(visible.page(shown, versions()), encoding="utf-8")
        say(f"written to {visible.PAGE.name}")


def _memory(folder: Path) -> Memory | None:
    (loki,) = (row for row in ROWS if row.name == "loki")
    try:
        return measure_memory(loki, folder)
    except FAILURES as exc:  # what has been measured before is not to be lost
        say(f"memory: failed: {exc}")
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
    parser.add_argument(
        "--quick", action="store_true", help="one round of a second, in under 5 minutes"
    )
    parser.add_argument("--seconds", type=int, help="per measurement")
    parser.add_argument("--rounds", type=int, help="of which the median is shown")
    parser.add_argument("--clients", type=_numbers, help="how many at a time, as in 1,16,64")
    parser.add_argument("--workers", type=int, default=1, help="processes that serve")
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.name} in any case")
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
