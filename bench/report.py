"""The figures as the tables that a person reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import median
from typing import Final

from .measure import Cell, Measured, Plan, Result
from .server_costs import Start
from .summary import NOT_WHOLE
from .targets import Figures, Target, targets

COLUMNS: Final = (
    *("destination", "clients", "events/s", "÷ echo", "÷ direct", "p50 ms", "p99 ms"),
    *("CPU µs/event", "connections", "pushes/event", "system calls", "wake-ups", "memory MB", ""),
)
START_COLUMNS: Final = ("command", "CPU ms", "÷ `python -c pass`")
TARGET_COLUMNS: Final = ("target", "wanted", "measured", "")
VERDICTS: Final = {True: "met", False: "**not met**", None: "not measured"}


def results_page(
    figures: Figures, plan: Plan, versions: Iterable[tuple[str, str]], *, is_whole: bool
) -> str:
    """Render `RESULTS.md`; figures that no whole run has measured are said to be none."""
    note = "" if is_whole else f"\n{NOT_WHOLE}\n"
    facts = "\n".join(f"- {name}: {text}" for name, text in versions)
    return f"""# What an acknowledgement costs
{note}
Written by `make bench`, and by nothing else. {_explained(plan)}

{tables(figures)}

## Targets

{targets_table(figures)}

## Measured with

{facts}
"""


def tables(figures: Figures) -> str:
    """Render what was measured: the events, and below titles what else there is."""
    parts = [events_table(figures)]
    if figures.start is not None:
        parts.append(f"## The start\n\n{start_table(figures.start)}")
    parts += [f"## {title}\n\n{printed}" for title, printed in figures.programs.items()]
    return "\n\n".join(parts)


def start_table(start: Start) -> str:
    """Render what commands take of the processors."""
    rows = [("python -c pass", f"{start.python_ms:.1f}", "")]
    for name, command in start.commands.items():
        rows.append((name, f"{command.cpu_ms:.1f}", f"{command.of_python:.1f}"))
    return table(START_COLUMNS, rows)


def _explained(plan: Plan) -> str:
    return f"""\
Each client waits for its 200 before it sends its next event; every event has
contents of its own. Numbers are medians of {plan.rounds} rounds of {plan.seconds} s; everything runs on one machine and
competes for its cores, so that the ratios say more than the numbers.

- **÷ echo**: against a bare Falcon app on the same uvicorn, uvloop and httptools, which reads the same body, answers, and
  writes no log; measured right before and after each round.
- **÷ direct**: against the same load of one event per request straight on the destination (the Collector's is OTLP/HTTP).
- The server runs with its defaults and {plan.workers} worker{"s" * (plan.workers > 1)}: its access log is on, and goes to a file, as does what the
  stdout sink writes.
- **CPU** is that of the server's processes alone. **connections** (opened) and **pushes/event** are what the destination
  has counted, warm-up included (for tcp, its reads); every event answered with 200 must have arrived, or the row has failed.
- **system calls** and **wake-ups** of the event loop are per event, of one client alone, while `strace` counts them.
- **memory** is what is resident before the first and after the last measurement of a row.
- The start of a command is the median of 20 of its processor time, user and system, run in turns with `python -c pass`; names
  without `sonda` are what `sonda emit log hello` sends to.
- A name without `/` is a stand-in of ours that says yes at once (`/5ms`: after 5 ms; `/tls`: over TLS; `/rules`: allowed by the last of 100 `--allow-destination`), or a file;
  `/real`, `/prometheus`, `/collector` and `kafka` are the real products. `/one-series`: all clients write to one series. `/key`:
  each request has an `Idempotency-Key` of its own; `/ndjson`: each has 100 events, and all figures but p50 and p99 are per event."""


def events_table(figures: Figures) -> str:
    """Render the one table of a run."""
    rows = [
        *_echo_rows("echo", figures.echo),
        *_echo_rows("echo, with an access log", figures.logging_echo),
        *(row for result in figures.results.values() for row in _rows(result)),
    ]
    return table(COLUMNS, rows)


def targets_table(figures: Figures) -> str:
    """Render what was to be reached."""
    return table(TARGET_COLUMNS, map(_target, targets(figures)))


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Render a Markdown table that can be read as it is, too."""
    cells = [columns, *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    widths[-1] = len(columns[-1])  # the notes may be long
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in cells]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def _echo_rows(name: str, echo: Mapping[int, list[Measured]]) -> Iterator[tuple[str, ...]]:
    for clients, measured in echo.items():
        loads = [each.load for each in measured]
        yield (
            *(name, str(clients), f"{median(load.per_s for load in loads):,.0f}", "", ""),
            f"{median(load.p50_ms for load in loads):.2f}",
            f"{median(load.p99_ms for load in loads):.2f}",
            f"{median(each.cpu_us for each in measured):.0f}",
            *("", "", "", "", "", ""),
        )


def _rows(result: Result) -> Iterator[tuple[str, ...]]:
    if result.problem:
        note = result.problem if result.absent else f"**failed**: {result.problem}"
        yield (result.name, *[""] * (len(COLUMNS) - 2), " ".join(note.split()))
    for cell in result.cells:
        last = cell is result.cells[-1]
        memory = f"{result.rss_before_mb:.0f} → {result.rss_after_mb:.0f}" if last else ""
        yield (result.name, *_numbers(cell), memory, _note(cell))


def _numbers(cell: Cell) -> tuple[str, ...]:
    counts, of_system = cell.counts, cell.system_calls
    return (
        str(cell.clients),
        f"{cell.per_s:,.0f}",
        f"{cell.of_echo:.2f}",
        "" if cell.of_direct is None else f"{cell.of_direct:.2f}",
        f"{cell.p50_ms:.2f}",
        f"{cell.p99_ms:.2f}",
        f"{cell.cpu_us:.0f}",
        str(counts.connections) if counts and counts.connections else "",
        f"{counts.requests / counts.events:.3f}"
        if counts and counts.requests and counts.events
        else "",
        f"{of_system.calls:.1f}" if of_system else "",
        f"{of_system.wake_ups:.1f}" if of_system else "",
    )


def _note(cell: Cell) -> str:
    lost = cell.arrived is not None and cell.arrived < 1
    return f"{cell.arrived:.1%} arrived" if lost else ""


def _target(target: Target) -> tuple[str, ...]:
    return target.what, target.wanted, target.measured, VERDICTS[target.met]
