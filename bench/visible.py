"""How long after its acknowledgement an event can be queried, for each product that can be asked.

Events are sent ten at a time, and each is read back. `python -m bench.visible` prints the table, and
writes it into `VISIBLE.md` and the document that shows it, as a full `make bench` does.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory
from typing import Any, Final
from uuid import uuid4

from returns.result import Success

from sonda.library import each
from sonda.pipeline.deliver import Pipeline
from sonda.pipeline.events import to_json
from sonda.pipeline.result import then
from tests.backends import install

from .report import table
from .versions import versions

EVENTS: Final = 100  # in each round
ROUNDS: Final = 3
QUICK_EVENTS: Final = 30
PAGE: Final = Path(__file__).with_name("VISIBLE.md")
DOCUMENT: Final = PAGE.parents[1] / "docs" / "delivery.md"
_BLOCK: Final = re.compile(r"(<!-- of bench/VISIBLE\.md -->\n).*?(\n<!-- end -->)", re.DOTALL)
COLUMNS: Final = ("destination", "p50", "p99", "seen")
AT_ONCE: Final = 10
PATIENCE: Final = "20s"
_LOG: Final[Mapping[str, Any]] = {
    "signal_type": "logs",
    "log": {"severity": "info", "message": "Deploy started"},
    "encoder": {"type": "json_lines"},
}
_METRIC: Final[Mapping[str, Any]] = {
    "signal_type": "metrics",
    "metric": {"name": "sonda_bench", "value": 1.5},
    "encoder": {"type": "remote_write"},
}


@dataclass(frozen=True, slots=True)
class Asked:
    """A product, the event that it gets, and its sink, found when it runs."""

    name: str
    event: Mapping[str, Any]
    sink: Callable[[Any], Mapping[str, Any]]
    backend: str = ""  # what it is installed as, if not by its name


@dataclass(frozen=True, slots=True)
class Visible:
    """How long it took in milliseconds until the events of a product were seen."""

    spans_ms: Sequence[float]
    unseen: int

    @property
    def p50_ms(self) -> float:
        """The median."""
        return quantiles(self.spans_ms, n=100)[49]

    @property
    def p99_ms(self) -> float:
        """What one in a hundred exceeds."""
        return quantiles(self.spans_ms, n=100)[98]


def _write(running: Any) -> Mapping[str, Any]:
    return {"type": "remote_write", "url": f"{running.web.url}/api/v1/write"}


def _topic(running: Any) -> Mapping[str, Any]:
    brokers = running.addresses["plain"]
    return {"type": "kafka", "brokers": brokers, "topic": running.create_topic()}


PRODUCTS: Final = (
    Asked("loki", _LOG, lambda running: {"type": "loki", "url": running.url}),
    Asked("prometheus", _METRIC, _write),
    Asked("victoriametrics", _METRIC, _write, "victoria"),
    Asked("kafka", _LOG, _topic),
)


async def look(event: Mapping[str, Any], sink: Mapping[str, Any], events: int) -> Visible:
    """Send so many events, some at a time, each in a series or stream of its own."""
    spans_ms: list[float] = []
    body = {**event, "sink": sink, "verify": {"timeout": PATIENCE}}
    async with Pipeline() as pipeline:

        async def one(_: int) -> None:
            document = to_json({**body, "labels": {"event": uuid4().hex}})
            result = await then(document, pipeline.deliver)
            receipt = result.unwrap() if isinstance(result, Success) else None
            if receipt is not None and receipt.visible_us is not None:
                spans_ms.append(receipt.visible_us / 1000)

        await each(range(events), one, concurrency=AT_ONCE)
    return Visible(spans_ms, events - len(spans_ms))


def row(name: str, visible: Visible) -> tuple[str, ...]:
    """Return a product's row of the table."""
    seen = len(visible.spans_ms)
    of_all = f"{seen} of {seen + visible.unseen}"
    if seen < 2:  # noqa: PLR2004  # there is no percentile of less
        return name, "", "", of_all
    return name, f"{visible.p50_ms:.1f} ms", f"{visible.p99_ms:.1f} ms", of_all


def measure(*, is_quick: bool = False) -> str:
    """Return the table of the products that are installed, and of a file."""
    events, rounds = (QUICK_EVENTS, 1) if is_quick else (EVENTS, ROUNDS)
    rows: list[tuple[str, ...]] = []
    for product in PRODUCTS:
        if (installed := install.find(product.backend or product.name)) is None:
            rows.append((product.name, "not installed", "", ""))
            continue
        module = import_module(f"tests.backends.{product.name}")
        with getattr(module, f"start_{product.name}")(installed) as running:
            sink = product.sink(running)
            rows.append(row(product.name, _look(product.event, sink, events, rounds)))
    with TemporaryDirectory(prefix="sonda-bench-") as folder:
        sink = {"type": "file", "path": str(Path(folder, "events"))}
        rows.append(row("file", _look(_LOG, sink, events, rounds)))
    return table(COLUMNS, rows)


def _look(event: Mapping[str, Any], sink: Mapping[str, Any], events: int, rounds: int) -> Visible:
    """Look so many times; return what was seen in all rounds."""
    found = [asyncio.run(look(event, sink, events)) for _ in range(rounds)]
    spans_ms = [span_ms for visible in found for span_ms in visible.spans_ms]
    return Visible(spans_ms, sum(visible.unseen for visible in found))


def page(shown: str, facts: Iterable[tuple[str, str]]) -> str:
    """Render `VISIBLE.md`."""
    load = ", ".join(f"{average:.1f}" for average in os.getloadavg())
    listed = "\n".join(f"- {name}: {text}" for name, text in facts)
    return f"""# From the acknowledgement to the sight of it

Written by `python -m bench.visible`, and by nothing else. {ROUNDS} rounds of {EVENTS} events for each
destination, {AT_ONCE} at a time, each in a series or stream of its own, read back by `verify`.

{shown}

## Measured with

- load average of 1, 5 and 15 minutes at the end: {load}
{listed}
"""


def with_table(document: str, shown: str) -> str:
    """Return a document with the table between its marks."""
    return _BLOCK.sub(lambda found: f"{found[1]}\n{shown}\n{found[2]}", document)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the table, and write it unless the run was quick."""
    parser = ArgumentParser(prog="python -m bench.visible", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few events; nothing is written")
    is_quick = parser.parse_args(argv).quick
    shown = measure(is_quick=is_quick)
    print(shown)
    if not is_quick:
        PAGE.write_text(page(shown, versions()), encoding="utf-8")
        document = DOCUMENT.read_text(encoding="utf-8")
        DOCUMENT.write_text(with_table(document, shown), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
