"""How long after its acknowledgement an event can be queried, for each product that can be asked.

`python -m bench.visible` sends events, ten at a time, reads each back, and prints the table.
"""

from __future__ import annotations

import asyncio
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Mapping, Sequence
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

EVENTS: Final = 300
QUICK_EVENTS: Final = 30
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


def row(name: str, visible: Visible) -> str:
    """Return a product's line of the table."""
    seen = len(visible.spans_ms)
    if seen < 2:  # noqa: PLR2004  # there is no percentile of less
        return f"| {name} | | | {seen} of {seen + visible.unseen} |"
    return (
        f"| {name} | {visible.p50_ms:.1f} ms | {visible.p99_ms:.1f} ms "
        f"| {seen} of {seen + visible.unseen} |"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Measure the products that are installed, and a file."""
    parser = ArgumentParser(prog="python -m bench.visible", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the events")
    events = QUICK_EVENTS if parser.parse_args(argv).quick else EVENTS
    print("| product | p50 | p99 | seen |\n|---|--:|--:|--:|")
    for product in PRODUCTS:
        if (installed := install.find(product.backend or product.name)) is None:
            print(f"| {product.name} | not installed | | |")
            continue
        module = import_module(f"tests.backends.{product.name}")
        with getattr(module, f"start_{product.name}")(installed) as running:
            sink = product.sink(running)
            print(row(product.name, asyncio.run(look(product.event, sink, events))), flush=True)
    with TemporaryDirectory(prefix="sonda-bench-") as folder:
        sink = {"type": "file", "path": str(Path(folder, "events"))}
        print(row("file", asyncio.run(look(_LOG, sink, events))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
