"""Pieces are the events, one by one: where they are made, and the verdicts on them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from returns.result import Failure, Result, Success

from sonda.pipeline.deliver import Pipeline
from sonda.pipeline.delivery import AttemptFailure, Delivery
from sonda.pipeline.interruption import InterruptedGroup
from sonda.pipeline.model import Confirmed, EncodedEvent, Receipt
from sonda.pipeline.problems import OutcomeUnknown, Problem, Refused, Unreachable
from sonda.pipeline.scenarios.plan import Entry
from sonda.pipeline.scenarios.rendering import Piece, how_pieces_go, pieces
from sonda.pipeline.scenarios.schedule import Schedule
from sonda.pipeline.scenarios.sender import GroupVerdict, PipelineSender
from sonda.pipeline.scenarios.shards import shard_of
from sonda.pipeline.scenarios.states import Shard
from sonda.pipeline.stages.encode import encode
from tests.support.extras import needs
from tests.unit.pipeline.scenarios.support import compiled, log, metric

FILE = {"type": "file", "path": "x.txt"}
LOKI = {"type": "loki", "url": "http://h"}
PUSH = {"type": "http_push", "url": "http://h", "batch_size": 65_536}
WRITE = {"type": "remote_write", "url": "http://h"}
TURNING = [{"key": "pod", "cardinality": 3}, {"key": "zone", "values": ["a", "b"]}]
GAPS = {
    "gaps": {"every": "10s", "for": "4s"},
    "bursts": {"every": "3s", "for": "1s", "multiplier": 3},
}
TWICE = [{"key": "pod", "values": ["a", "a"]}]
DRAWN = {
    "templates": [{"message": "{path} {tick} {uuid}", "field_pools": {"path": ["/a", '/\n"b']}}]
}


def _entry(document: dict[str, Any]) -> Entry:
    return compiled(document).unwrap().entries[0]


def _pieces(entry: Entry, ticks: range) -> Sequence[Piece]:
    takes = how_pieces_go(entry)
    return () if takes is None else pieces(entry, ticks, takes)


def _alone(entry: Entry, ticks: range) -> list[EncodedEvent]:
    return [encode(entry.route.validated_event(entry.event(tick))).unwrap() for tick in ticks]


LINES = {
    "plain": metric(sink=FILE, jitter=2, labels={"b": "1", "a": '"'}),
    "no stamps": metric(sink=FILE, encoder={"type": "prometheus_text", "timestamp": False}),
    "influx": metric(sink=FILE, encoder={"type": "influx_lp"}),
    "rounded": metric(sink=FILE, encoder={"type": "json_lines", "precision": 2}, **GAPS),
    "turning": metric(sink=FILE, dynamic_labels=TURNING, **GAPS),
    "turning as json": metric(
        sink={"type": "stdout"}, encoder={"type": "json_lines"}, dynamic_labels=TURNING
    ),
    "joined": metric(sink=PUSH, dynamic_labels=TURNING),
    "a fleet": log(sink=FILE, series=3, log_generator={"type": "template", **DRAWN}),
    "logs": log(
        sink=FILE, log_generator={"type": "template", **DRAWN}, dynamic_labels=TURNING, **GAPS
    ),
}
_OBSERVED = {"generator": None, "distribution": {"type": "normal", "mean": 1, "stddev": 1}}
OBSERVED: dict[str, dict[str, Any]] = {
    "histogram": metric(sink=FILE, signal_type="histogram", dynamic_labels=TURNING, **_OBSERVED),
    "summary": metric(sink={"type": "stdout"}, signal_type="summary", series=3, **_OBSERVED),
    "summary as json": metric(
        sink=FILE, signal_type="summary", encoder={"type": "json_lines"}, **_OBSERVED, **GAPS
    ),
}
LINES |= OBSERVED
SHARDED = [
    metric(sink=FILE, jitter=2, series={"a": 2, "b": ["x", "y"]}, dynamic_labels=TURNING[:1]),
    log(sink=FILE, log_generator={"type": "template", **DRAWN}, dynamic_labels=TURNING),
    log(sink=FILE, log_generator={"type": "template", **DRAWN}, series=2, rate=3),
]
LINES |= {f"fleet {place}": one for place, one in enumerate(SHARDED) if "series" in one}


@pytest.mark.parametrize("ticks", [range(1), range(7, 8), range(5, 41)])
@pytest.mark.parametrize("index", [0, 3])
@pytest.mark.parametrize("document", SHARDED)
def test_lines_of_a_shard(document: dict[str, Any], index: int, ticks: range) -> None:
    """They are those of the events of the whole, in every kind of entry."""
    entry = shard_of(compiled(document).unwrap(), Shard(index, 4)).entries[0]
    (piece,) = _pieces(entry, ticks)
    assert piece.encoded.payload.body == b"".join(one.payload.body for one in _alone(entry, ticks))


@pytest.mark.parametrize("ticks", [range(1), range(7, 8), range(5, 41), range(1000, 1004)])
@pytest.mark.parametrize("name", LINES)
def test_lines_are_those_of_the_events(name: str, ticks: range) -> None:
    """Byte by byte, whichever tick the group begins with."""
    entry = _entry(LINES[name])
    alone = _alone(entry, ticks)
    (piece,) = _pieces(entry, ticks)
    assert piece.encoded.payload.body == b"".join(one.payload.body for one in alone)
    assert (piece.count, piece.size_bytes) == (len(ticks), len(piece.encoded.payload.body))
    assert piece.encoded.validated.event == alone[0].validated.event


@pytest.mark.parametrize("most", [1, 1000, 3000, 3500])
def test_histograms_are_cut_between_events(most: int) -> None:
    """No request holds a part of one, whether it is longer than a request may be or shorter."""
    entry = _entry({**OBSERVED["histogram"], "sink": {**PUSH, "batch_size": most}})
    alone = [one.payload.body for one in _alone(entry, range(20))]
    made = _pieces(entry, range(20))
    assert sum(piece.count for piece in made) == 20
    place = 0
    for piece in made:
        own = b"".join(alone[place : place + piece.count])
        assert piece.encoded.payload.body == own
        assert len(own) <= most or piece.count == 1
        assert piece.encoded.validated.event == entry.event(place)
        place += piece.count
    assert (len(made) == 20) == (most < 2 * len(alone[0]))


@needs("encoder", "remote_write")
@pytest.mark.parametrize("counts", [[1], [7, 1], [7, 7, 6]])
def test_histograms_share_a_remote_write(counts: list[int]) -> None:
    """Each of their series is written once, with all its samples; a request has whole ones."""
    from sonda.pipeline.encoders import _remote_write_v1_pb2 as v1

    def samples(bodies: list[bytes]) -> Counter[str]:
        series = [one for body in bodies for one in v1.WriteRequest.FromString(body).timeseries]
        return Counter(f"{one.labels} {sample}" for one in series for sample in one.samples)

    changes = {"sink": {**WRITE, "batch_size": 100}, "encoder": {"type": "remote_write"}}
    entry = _entry({**OBSERVED["histogram"], **changes})
    ticks = range(sum(counts))
    made = _pieces(entry, ticks)
    assert [piece.count for piece in made] == counts
    read = samples([piece.encoded.payload.body for piece in made])
    assert read == samples([one.payload.body for one in _alone(entry, ticks)])
    assert read.total() == len(ticks) * 14
    if counts[0] > 1:
        first = v1.WriteRequest.FromString(made[0].encoded.payload.body).timeseries
        assert len(first) == 6 * 14  # of each label set


def test_lines_are_cut_at_the_size_of_a_request() -> None:
    """As many as fit go together; one that is too long goes alone; each piece knows its first event."""
    long = {"templates": ["short", "long" * 100, "short", "short"]}
    entry = _entry(
        log(sink={**PUSH, "batch_size": 300}, log_generator={"type": "template", **long})
    )
    made = _pieces(entry, range(8))
    assert [piece.count for piece in made] == [1, 1, 2, 1, 1, 2]
    assert b"".join(piece.encoded.payload.body for piece in made) == b"".join(
        one.payload.body for one in _alone(entry, range(8))
    )
    assert [piece.encoded.validated.event for piece in made] == [
        entry.event(tick) for tick in (0, 1, 2, 4, 5, 6)
    ]


@pytest.mark.parametrize(
    ("changes", "most"),
    [({}, 50), ({"batch_size": 7}, 7), ({"max_streams_per_push": 4}, 4)],
)
def test_a_loki_push_is_that_of_its_events(changes: dict[str, Any], most: int) -> None:
    """Byte by byte, within the limits of one push."""
    entry = _entry(log(sink={**LOKI, **changes}, dynamic_labels=TURNING))
    _same_pushes(entry, most)


def test_a_loki_push_has_a_label_set_once() -> None:
    """Also where a dynamic label has a value twice."""
    _same_pushes(_entry(log(sink=LOKI, dynamic_labels=TWICE)), 50)


def _same_pushes(entry: Entry, most: int) -> None:
    from sonda.pipeline.sinks.loki import _compose

    ticks = range(5, 55)
    made = _pieces(entry, ticks)
    assert [piece.count for piece in made[:-1]] == [most] * (len(made) - 1)
    start = ticks.start
    for piece in made:
        alone = [one.payload for one in _alone(entry, range(start, start + piece.count))]
        assert _compose([piece.encoded.payload]) == _compose(alone)
        assert piece.size_bytes == sum(len(one.body) for one in alone)
        start += piece.count


@pytest.mark.parametrize(
    "document",
    [
        metric(sink={"type": "tcp", "address": "h:1"}),
        metric(sink={"type": "http_push", "url": "http://h"}),
        pytest.param(
            metric(sink=PUSH, encoder={"type": "remote_write"}),
            marks=needs("encoder", "remote_write"),
        ),
        log(sink=LOKI, encoder={"type": "syslog"}),
        log(sink=FILE, encoder={"type": "syslog"}),
        {**OBSERVED["histogram"], "sink": LOKI, "encoder": {"type": "json_lines"}},
        log(sink=LOKI, labels={"long": "x" * 2_000_000}),
    ],
)
def test_where_each_event_goes_alone(document: dict[str, Any]) -> None:
    """Sinks and formats that know no pieces, and events that a sink cannot take together."""
    assert not _pieces(_entry(document), range(50))


@needs("sink", "remote_write")
def test_two_samples_of_a_series_in_a_millisecond_do_not_go_together() -> None:
    """A receiver would take both and keep one."""
    entry = _entry(metric(sink=WRITE, encoder={"type": "remote_write"}, rate=1000))
    assert len(_pieces(entry, range(50))) == 1
    assert not _pieces(replace(entry, schedule=Schedule(Fraction(1001))), range(2000))


class _Pipeline:
    """A pipeline that answers each payload as *answer* does, and remembers what it was handed."""

    def __init__(
        self, answer: Callable[[EncodedEvent, Delivery], Result[Receipt, Problem]]
    ) -> None:
        self._answer = answer
        self.counts: list[list[int]] = []

    async def send_prepared(
        self, prepared: Sequence[Any], deliveries: Sequence[Delivery] = ()
    ) -> list[Result[Receipt, Problem]]:
        events = [one.unwrap() for one in prepared]
        self.counts.append([one.payload.count for one in events])
        deliveries = deliveries or [Delivery() for _ in events]
        await asyncio.sleep(0)
        return [self._answer(*pair) for pair in zip(events, deliveries, strict=True)]


REFUSED = Refused("h", "400 Bad Request")


def _refuses(lines: bytes, *, per_event: bool) -> Callable[..., Result[Receipt, Problem]]:
    """Return an answer: no to what holds *lines*."""

    def answer(event: EncodedEvent, delivery: Delivery) -> Result[Receipt, Problem]:
        if lines not in event.payload.body:
            return Success(Receipt("logs", Confirmed.ACCEPTED, 0, 1, 0))
        delivery.failed(AttemptFailure(REFUSED, per_event=per_event))
        return Failure(REFUSED)

    return answer


def _sent(document: dict[str, Any], pipeline: Any, ticks: range) -> GroupVerdict:
    return asyncio.run(PipelineSender(pipeline).group(_entry(document), ticks).send())


def test_what_may_be_one_events_fault_goes_again_event_by_event() -> None:
    """Only the guilty are refused; what else was in their piece is delivered, and counted once."""
    pipeline = _Pipeline(_refuses(b"order 7", per_event=True))
    document = log(sink={**LOKI, "batch_size": 4})
    verdict = _sent(document, pipeline, range(2, 14))
    assert verdict.problems == {5: REFUSED}
    assert pipeline.counts == [[4, 4, 4], [1, 1, 1, 1]]
    alone = [len(one.payload.body) for one in _alone(_entry(document), range(2, 14))]
    assert verdict.delivered_bytes == sum(alone) - alone[5]


def test_of_a_partial_success_as_many_are_rejected_and_none_goes_again() -> None:
    """A collector does not tell which, and has the others."""

    def answer(_event: EncodedEvent, delivery: Delivery) -> Result[Receipt, Problem]:
        delivery.failed(AttemptFailure(REFUSED, per_event=True, rejected=3))
        return Failure(REFUSED)

    pipeline = _Pipeline(answer)
    verdict = _sent(log(sink={**LOKI, "batch_size": 4}), pipeline, range(4))
    assert list(verdict.problems.values()) == [REFUSED] * 3
    assert pipeline.counts == [[4]]


def test_any_other_refusal_is_that_of_all_in_the_piece() -> None:
    """They are not sent a second time."""
    pipeline = _Pipeline(_refuses(b"order 7", per_event=False))
    verdict = _sent(log(sink={**LOKI, "batch_size": 4}), pipeline, range(2, 14))
    assert verdict.problems == dict.fromkeys(range(4, 8), REFUSED)
    assert pipeline.counts == [[4, 4, 4]]


@needs("sink", "remote_write")
def test_pieces_of_ascending_samples_go_one_after_the_other() -> None:
    """The next group leaves with the verdict on the one before; cut off before, nothing has left."""

    class Held(_Pipeline):
        held = asyncio.Event()

        async def send_prepared(self, prepared: Any, deliveries: Any = ()) -> Any:
            self.counts.append([one.unwrap().payload.count for one in prepared])
            try:
                await self.held.wait()
            except asyncio.CancelledError as exc:
                exc.__cause__ = InterruptedGroup([Failure(OutcomeUnknown("h", "", 0))])
                raise
            return [Success(Receipt("metrics", Confirmed.ACCEPTED, 0, 1, 0))]

    async def main() -> tuple[list[GroupVerdict], list[list[int]]]:
        pipeline: Any = Held(_refuses(b"", per_event=False))
        sender, entry = PipelineSender(pipeline), _entry(document)
        groups = [sender.group(entry, range(start, start + 3)) for start in (0, 3, 6, 9)]
        tasks = [asyncio.create_task(group.send()) for group in groups]
        await asyncio.sleep(0.0)
        await asyncio.sleep(0.0)
        await asyncio.sleep(0.0)
        groups[0].cut_off()
        groups[3].cut_off()
        pipeline.held.set()
        return list(await asyncio.gather(*tasks)), pipeline.counts

    document = metric(sink=WRITE, encoder={"type": "remote_write"})
    (first, second, third, fourth), counts = asyncio.run(main())
    assert [type(one) for one in first.problems.values()] == [OutcomeUnknown] * 3
    assert second.problems == third.problems == {}
    assert [type(one) for one in fourth.problems.values()] == [Unreachable] * 3
    assert counts == [[3], [3], [3]]


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
