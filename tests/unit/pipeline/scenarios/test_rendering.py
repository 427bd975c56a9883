"""Lines made of vectors are the lines of the events, one by one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from sonda.pipeline.deliver import Pipeline
from sonda.pipeline.problems import Unreachable
from sonda.pipeline.scenarios.plan import Entry
from sonda.pipeline.scenarios.rendering import as_one, is_written_in_lines, lines
from sonda.pipeline.scenarios.sender import PipelineSender
from sonda.pipeline.scenarios.shards import shard_of
from sonda.pipeline.scenarios.states import Shard
from sonda.pipeline.stages.encode import encode
from tests.unit.pipeline.scenarios.support import compiled, log, metric

FILE = {"type": "file", "path": "x.txt"}
TURNING = [{"key": "pod", "cardinality": 3}, {"key": "zone", "values": ["a", "b"]}]
GAPS = {
    "gaps": {"every": "10s", "for": "4s"},
    "bursts": {"every": "3s", "for": "1s", "multiplier": 3},
}
DRAWN = {
    "templates": [{"message": "{path} {tick} {uuid}", "field_pools": {"path": ["/a", '/\n"b']}}]
}


def _entry(document: dict[str, Any]) -> Entry:
    return compiled(document).unwrap().entries[0]


ENTRIES = {
    "plain": metric(sink=FILE, jitter=2, labels={"b": "1", "a": '"'}),
    "no stamps": metric(sink=FILE, encoder={"type": "prometheus_text", "timestamp": False}),
    "rounded": metric(sink=FILE, encoder={"type": "json_lines", "precision": 2}, **GAPS),
    "turning": metric(sink=FILE, dynamic_labels=TURNING, **GAPS),
    "turning as json": metric(
        sink={"type": "stdout"}, encoder={"type": "json_lines"}, dynamic_labels=TURNING
    ),
    "logs": log(
        sink=FILE, log_generator={"type": "template", **DRAWN}, dynamic_labels=TURNING, **GAPS
    ),
}
SHARDED = [
    metric(sink=FILE, jitter=2, series={"a": 2, "b": ["x", "y"]}, dynamic_labels=TURNING[:1]),
    log(sink=FILE, log_generator={"type": "template", **DRAWN}, dynamic_labels=TURNING),
    log(sink=FILE, log_generator={"type": "template", **DRAWN}, series=2, rate=3),
]
ENTRIES |= {f"fleet {place}": one for place, one in enumerate(SHARDED) if "series" in one}


@pytest.mark.parametrize("ticks", [range(1), range(7, 8), range(5, 41)])
@pytest.mark.parametrize("index", [0, 3])
@pytest.mark.parametrize("document", SHARDED)
def test_lines_of_a_shard(document: dict[str, Any], index: int, ticks: range) -> None:
    """They are those of the events of the whole, in every kind of entry."""
    entry = shard_of(compiled(document).unwrap(), Shard(index, 4)).entries[0]
    one_by_one = [encode(entry.route.order(entry.event(tick))).unwrap() for tick in ticks]
    assert list(lines(entry, ticks).unwrap()) == [one.payload.body for one in one_by_one]


@pytest.mark.parametrize("ticks", [range(1), range(7, 8), range(5, 41), range(1000, 1004)])
@pytest.mark.parametrize("name", ENTRIES)
def test_lines_are_those_of_the_events(name: str, ticks: range) -> None:
    """Byte by byte, whichever tick the group begins with."""
    entry = _entry(ENTRIES[name])
    assert is_written_in_lines(entry)
    one_by_one = [encode(entry.route.order(entry.event(tick))).unwrap() for tick in ticks]
    assert list(lines(entry, ticks).unwrap()) == [one.payload.body for one in one_by_one]
    piece = as_one(entry, ticks).unwrap()
    assert piece.payload.body == b"".join(one.payload.body for one in one_by_one)
    assert piece.order.event == one_by_one[0].order.event


@pytest.mark.parametrize(
    "changes",
    [
        {"sink": {"type": "tcp", "address": "h:1"}},
        {"sink": {"type": "loki", "url": "http://h"}},
        {"sink": FILE, "encoder": {"type": "influx_lp"}},
    ],
)
def test_what_is_not_written_in_lines(changes: dict[str, Any]) -> None:
    """Other sinks and formats have a verdict for each event."""
    assert not is_written_in_lines(_entry(metric(**changes)))


def test_a_piece_has_one_verdict(tmp_path: Path) -> None:
    """Where nothing is written each event is told so; where all is, all bytes are counted."""

    async def send(path: Path) -> Any:
        entry = _entry(metric(sink={"type": "file", "path": str(path)}))
        async with Pipeline() as pipeline:
            return await PipelineSender(pipeline).group(entry, range(5)).send()

    missing = asyncio.run(send(tmp_path))
    assert sorted(missing.problems) == [0, 1, 2, 3, 4]
    assert isinstance(missing.problems[3], Unreachable)
    written = asyncio.run(send(tmp_path / "x.txt"))
    assert (written.problems, written.pushes) == ({}, 1)
    assert written.delivered_bytes == len((tmp_path / "x.txt").read_bytes())
