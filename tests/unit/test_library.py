"""What a script and a notebook use."""

from __future__ import annotations

import asyncio
import json
import math
import pickle
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from returns.result import Failure, Success

import sonda
from sonda.library import each
from sonda.pipeline.problems import Invalid, Malformed, NotJson, Unreachable, ValidationIssue
from tests.support.bodies import LOG, METRIC, MISSING, changed
from tests.support.destinations import http_destination, tcp_destination

REFUSED = Failure(Unreachable("TCP connect to 127.0.0.1:1", "Connection refused"))


def file_event(path: Path, **changes: Any) -> dict[str, Any]:
    return changed(LOG, sink={"type": "file", "path": str(path)}, **changes)


def test_emit_delivers(tmp_path: Path) -> None:
    """A script gets a receipt once the destination has the event."""
    path = tmp_path / "events.log"
    receipt = sonda.emit(file_event(path, timestamp="2026-03-23T14:59:04.840Z")).unwrap()
    assert json.loads(path.read_bytes())["message"] == "Deploy started"
    assert receipt.confirmed is sonda.Confirmed.ACCEPTED
    assert f"{receipt.confirmed}" == "accepted"
    assert (receipt.tries, receipt.status, receipt.warnings) == (1, None, ())
    assert receipt.time_ns == 1_774_277_944_840_000_000
    assert receipt.latency_us >= 0


def test_emit_gives_the_problem() -> None:
    """Nothing raises for what a destination did."""
    assert sonda.emit(LOG) == REFUSED
    assert sonda.emit({}).failure() == Malformed(
        tuple(
            ValidationIssue("", f"missing field '{name}'")
            for name in ("signal_type", "labels", "encoder", "sink")
        )
    )


def test_emit_many_gives_each_its_own_result(tmp_path: Path) -> None:
    """Results stand in the order of the events, the refused among the delivered."""
    path = tmp_path / "events.log"
    written = [file_event(path, log__message=str(number)) for number in range(100)]
    results = sonda.emit_many([*written[:50], LOG, *written[50:]])
    assert results[50] == REFUSED
    assert all(isinstance(result, Success) for result in results[:50] + results[51:])
    messages = [json.loads(line)["message"] for line in path.read_bytes().splitlines()]
    assert sorted(messages, key=int) == [str(number) for number in range(100)]


def test_emit_many_one_at_a_time_keeps_the_order(tmp_path: Path) -> None:
    """With a concurrency of 1 each event is confirmed before the next is drawn."""
    path = tmp_path / "events.log"

    def events() -> Iterator[dict[str, Any]]:
        for number in range(5):
            confirmed = path.read_bytes().count(b"\n") if number else 0
            yield file_event(path, log__message=str(confirmed))

    sonda.emit_many(events(), concurrency=1)
    messages = [json.loads(line)["message"] for line in path.read_bytes().splitlines()]
    assert messages == ["0", "1", "2", "3", "4"]


def test_emit_many_of_nothing() -> None:
    """No events, no results."""
    assert sonda.emit_many([]) == []


@pytest.mark.parametrize("concurrency", [1, 3, 100])
def test_each_is_bounded(concurrency: int) -> None:
    """No more than *concurrency* steps are under way at a time, and as many if there is work."""
    under_way: set[int] = set()
    most = 0

    async def step(number: int) -> int:
        nonlocal most
        under_way.add(number)
        most = max(most, len(under_way))
        await asyncio.sleep(0)
        under_way.discard(number)
        return -number

    done = asyncio.run(each(range(20), step, concurrency=concurrency))
    assert done == [-number for number in range(20)]
    assert most == min(concurrency, 20)


def test_each_ends_what_it_has_begun_where_its_items_raise() -> None:
    """The exception is the program's own, and no event under way is cut off by it."""
    done: list[int] = []

    def items() -> Iterator[int]:
        yield from range(5)
        raise LookupError("no more")

    async def step(number: int) -> None:
        await asyncio.sleep(0)
        done.append(number)

    with pytest.raises(LookupError, match="no more"):
        asyncio.run(each(items(), step, concurrency=3))
    assert sorted(done) == list(range(5))


def test_each_needs_somebody_to_do_it() -> None:
    """A concurrency below 1 is a mistake of the program's, and would do nothing."""
    with pytest.raises(ValueError, match="at least 1"):
        sonda.emit_many([LOG], concurrency=0)


def test_emit_works_where_a_loop_is_running(tmp_path: Path) -> None:
    """A notebook may call it, too."""

    async def cell() -> Any:
        return sonda.emit(file_event(tmp_path / "x"))

    assert isinstance(asyncio.run(cell()), Success)


def test_emit_async_delivers(tmp_path: Path) -> None:
    """A notebook awaits its receipt."""
    assert isinstance(asyncio.run(sonda.emit_async(file_event(tmp_path / "x"))), Success)


def test_results_print_well(tmp_path: Path) -> None:
    """What a notebook shows says what happened."""
    assert str(sonda.emit(LOG)) == (
        "<Failure: sink error: TCP connect to 127.0.0.1:1: Connection refused>"
    )
    assert str(sonda.emit(file_event(tmp_path / "x"))).startswith(
        "<Success: accepted after 1 try in"
    )


def test_a_pipeline_keeps_its_connection() -> None:
    """Many events share a connection."""

    async def many() -> None:
        async with sonda.Pipeline() as pipeline:
            for _ in range(5):
                assert isinstance(await pipeline.emit(event), Success)

    with http_destination() as destination:
        event = changed(LOG, sink={"type": "loki", "url": destination.url})
        asyncio.run(many())
        assert len(destination.posts.items) == 5
        assert len(destination.connections.items) == 1


def test_a_typed_log_is_the_same_event() -> None:
    """Typed or as a mapping, the bytes are the same."""
    typed = sonda.Log(
        message="Deploy started",
        labels=MappingProxyType({"event": "deploy_start", "env": "prod"}),
        fields={"version": "1.2.2"},
        timestamp=datetime(2026, 3, 23, 15, 59, 4, 840_000, tzinfo=timezone(timedelta(hours=1))),
        encoder=sonda.encoders.JsonLines(),
    )
    mapping = changed(LOG, timestamp="2026-03-23T14:59:04.840Z", sink=MISSING)
    assert sonda.encode(typed) == sonda.encode(mapping)
    assert isinstance(sonda.encode(typed), Success)


def test_a_typed_metric_is_delivered_with_typed_options() -> None:
    """Encoder and sink options travel as their dataclasses have them."""
    with tcp_destination() as destination:
        retry = sonda.Retry(max_attempts=1, initial_backoff="1ms", max_backoff="1ms")
        result = sonda.emit(
            sonda.Metric(
                name="deploys",
                value=99.60573,
                timestamp=datetime(2026, 1, 1, tzinfo=UTC),
                encoder=sonda.encoders.PrometheusText(precision=2),
                sink=sonda.sinks.Tcp(address=destination.address, retry=retry),
            )
        )
        assert isinstance(result, Success)
        assert destination.received.wait_for_bytes(1) == b"deploys 99.61 1767225600000\n"


class Level(Enum):
    """An enumeration whose members are no strings."""

    LOUD = "warn"


class Scalar:
    """A number as numpy has them, but one that no `numbers` class knows."""

    def item(self) -> float:
        """Return the number as Python's own."""
        return 1.5


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"timestamp": object()}, "timestamp: object is no JSON value"),
        (
            {"timestamp": date(2026, 1, 1)},
            "timestamp: date is no JSON value (a datetime with a time zone is one)",
        ),
        ({"labels": {"a": b"x"}}, "labels.a: bytes is no JSON value (try .decode())"),
        ({"labels": {"a b": Path("x")}}, 'labels["a b"]: PosixPath is no JSON value (try str(…))'),
        ({"labels": {"a"}}, "labels: set is no JSON value (try a list)"),
        (
            {"labels": {b"a": "x"}},
            "labels: expected names that are strings, got b'a' (try .decode())",
        ),
        ({"metric__value": float("nan")}, "metric.value: expected a finite number, got nan"),
        ({"metric__value": -math.inf}, "metric.value: expected a finite number, got -inf"),
        (
            {"metric__value": Decimal("1.5")},
            "metric.value: Decimal is no JSON value (try float(…))",
        ),
        ({"metric__value": Scalar()}, "metric.value: Scalar is no JSON value (try .item())"),
        ({"metric__value": 1j}, "metric.value: complex is no JSON value"),
        (
            {"metric__value": Fraction(10**400)},
            "metric.value: a number is out of the range of a double",
        ),
        ({"metric__name": Level.LOUD}, "metric.name: Level is no JSON value (try its .value)"),
        ({"sink__path": [{b"x"}]}, "sink.path.0: set is no JSON value (try a list)"),
        (
            {"sink__timeout": timedelta(seconds=5)},
            "sink.timeout: timedelta is no JSON value (for example 5s, as a text)",
        ),
        (
            {"sink": sonda.sinks.File},
            "sink: the class File is no JSON value (try File(…))",
        ),
        (
            {"labels": {"a": b"x"}, "metric__value": math.nan},
            (
                "labels.a: bytes is no JSON value (try .decode()); "
                "metric.value: expected a finite number, got nan"
            ),
        ),
    ],
)
def test_what_json_cannot_say(changes: dict[str, Any], reason: str) -> None:
    """A value that no body could hold is a problem that says where it stands and what to write."""
    problem = sonda.emit(changed(METRIC, **changes)).failure()
    assert isinstance(problem, Malformed)
    assert str(problem) == reason


def test_a_severity_without_a_hash() -> None:
    """It is a problem, as one of any other type."""
    severity: Any = ["warn"]
    problem = sonda.emit(sonda.Log(message="m", severity=severity, sink=LOG["sink"])).failure()
    assert str(problem) == "log.severity: expected a string, got an array"


@pytest.mark.parametrize("span", [5, 0.5, True, timedelta(seconds=5), b"5s"])
@pytest.mark.parametrize("name", ["timeout", "verify"])
def test_durations_that_are_no_strings(name: str, span: object) -> None:
    """They are a problem with an example, not an exception."""
    spans: dict[str, Any] = {name: span}
    problem = sonda.emit(METRIC, **spans).failure()
    assert isinstance(problem, Malformed)
    expected = f'{name}: expected a duration as a string (for example "5s"), got {span!r}'
    assert str(problem) == expected


@pytest.mark.parametrize("one", [METRIC, "text", b"bytes", None, 5, sonda.Log(message="m")])
def test_many_events_that_are_one(one: Any) -> None:
    """A mapping's names, or a text's characters, are not taken for events."""
    with pytest.raises(TypeError, match="expected many events, got one"):
        sonda.emit_many(one)


def test_circular_and_endless_mappings() -> None:
    """Mappings that JSON could never end are refused."""
    circular: dict[str, Any] = {}
    circular["labels"] = circular
    assert isinstance(sonda.emit(circular).failure(), NotJson)


def test_encode_needs_no_sink() -> None:
    """The bytes alone come from the encoder alone, a syslog line with a newline included."""
    event = changed(LOG, sink=MISSING, encoder={"type": "syslog"}, log__message="a\nb")
    assert sonda.encode(event).unwrap().endswith(b"a\nb\n")


def test_encode_checks_the_sink_that_is_there() -> None:
    """A sink that could not carry the event is named."""
    event = changed(LOG, encoder={"type": "syslog"}, log__message="a\nb")
    problem = sonda.encode(event).failure()
    assert isinstance(problem, Invalid)
    assert "octet_counting" in str(problem)


def test_public_names_are_there() -> None:
    """Each name of `__all__` can be had, and no other."""
    for name in sonda.__all__:
        assert getattr(sonda, name) is not None
    assert dir(sonda) == sonda.__all__
    with pytest.raises(AttributeError, match="no attribute 'Lokki'"):
        _ = sonda.sinks.Lokki
    with pytest.raises(AttributeError, match="no attribute 'emitt'"):
        _ = sonda.emitt


def test_send_returns_the_receipt(tmp_path: Path) -> None:
    """A script that ends without an exception has delivered its event."""
    receipt = sonda.send(file_event(tmp_path / "a.log"))
    assert receipt.confirmed is sonda.Confirmed.ACCEPTED
    written = asyncio.run(sonda.send_async(file_event(tmp_path / "b.log")))
    assert written.confirmed is sonda.Confirmed.ACCEPTED


def test_send_raises_what_emit_returns() -> None:
    """The text is the problem's, and so is the value."""
    with pytest.raises(sonda.NotDelivered) as raised:
        sonda.send(LOG)
    problem = REFUSED.failure()
    assert raised.value.problem == problem
    assert str(raised.value) == "sink error: TCP connect to 127.0.0.1:1: Connection refused"
    copied = pickle.loads(pickle.dumps(raised.value))  # noqa: S301  # our own bytes
    assert (copied.problem, str(copied)) == (problem, str(problem))
    with pytest.raises(sonda.NotDelivered, match="Connection refused"):
        asyncio.run(sonda.send_async(LOG))


def test_a_deadline_as_text() -> None:
    """It replaces the sink's own, and bounds sinks that have none."""
    with tcp_destination() as destination:
        sink = {"type": "http_push", "url": f"http://{destination.address}", "timeout": "1h"}
        event = changed(LOG, sink=sink)
        problem = sonda.emit(event, timeout="1s").failure()
        assert "within 1s" in str(problem)


@pytest.mark.parametrize(
    ("spans", "issues"),
    [
        ({"timeout": "5"}, ["timeout"]),
        ({"timeout": "0s"}, ["timeout"]),
        ({"timeout": "x", "verify": "y"}, ["timeout", "verify"]),
    ],
)
def test_a_deadline_that_is_none(spans: dict[str, str], issues: list[str]) -> None:
    """It is a problem like any other, and nothing is sent."""
    problem = sonda.emit(LOG, **spans).failure()
    assert isinstance(problem, Invalid)
    assert [issue.path for issue in problem.issues] == issues
    with pytest.raises(sonda.NotDelivered):
        sonda.send(LOG, **spans)
    many = sonda.emit_many([LOG], timeout=spans["timeout"], verify=spans.get("verify"))
    assert many == [Failure(problem)]


def test_emit_many_where_a_loop_runs(tmp_path: Path) -> None:
    """Notebooks call what is not async, too."""

    async def cell() -> int:
        events = (file_event(tmp_path / "x.log", log__message=str(n)) for n in range(3))
        return len(sonda.emit_many(events))

    assert asyncio.run(cell()) == 3
    assert (tmp_path / "x.log").read_bytes().count(b"\n") == 3


def test_an_encoder_by_default(tmp_path: Path) -> None:
    """A typed event without an encoder has the one that the command line would choose."""
    event = sonda.Log(message="x", sink=sonda.sinks.File(path=str(tmp_path / "x.log")))
    assert sonda.send(event).confirmed is sonda.Confirmed.ACCEPTED
    assert json.loads((tmp_path / "x.log").read_bytes())["message"] == "x"


# --- slips of newcomers ----------------------------------------------------------------------------

SLIPS: dict[str, tuple[Any, str]] = {
    "text": (
        "Deploy started",
        "expected a dict, a Log or a Metric, got a value of type str",
    ),
    "several": (
        [LOG, LOG],
        "expected a dict, a Log or a Metric, got a value of type list; emit_many takes several",
    ),
    "a class": (
        changed(LOG, sink=sonda.sinks.Stdout),
        "sink: the class Stdout is no JSON value (try Stdout(…))",
    ),
    "an exception": (
        changed(LOG, log__message=ValueError("x")),
        "log.message: ValueError is no JSON value (try str(…))",
    ),
    "a sink's name": (
        changed(LOG, sink="stdout"),
        'sink: expected an object, got a string (for example {"type": "stdout"})',
    ),
    "an encoder's name": (
        changed(LOG, encoder="json_lines"),
        'encoder: expected an object, got a string (for example {"type": "json_lines"})',
    ),
    "labels in a list": (
        changed(LOG, labels=["env=prod"]),
        'labels: expected an object, got an array (for example {"env": "prod"})',
    ),
    "a number as a label": (
        changed(LOG, labels={"version": 3}),
        "labels.version: expected a string, got a number (put it in quotes)",
    ),
    "text as a value": (
        changed(METRIC, metric__value="1.5"),
        "metric.value: expected a number, got a string (leave out the quotes)",
    ),
    "words as a value": (
        changed(METRIC, metric__value="one"),
        "metric.value: expected a number, got a string",
    ),
}


@pytest.mark.parametrize(("event", "said"), SLIPS.values(), ids=SLIPS)
def test_a_slip_has_its_remedy(event: Any, said: str) -> None:
    """The text says what is wrong, and what was probably meant."""
    with pytest.raises(sonda.NotDelivered) as raised:
        sonda.send(event)
    assert str(raised.value) == said


def test_a_class_of_another_name() -> None:
    """Names those that there are."""
    with pytest.raises(AttributeError, match="; there are File, HttpPush, Kafka, Loki, "):
        _ = sonda.sinks.Prometheus
    with pytest.raises(AttributeError, match="; there are InfluxLp, JsonLines, "):
        _ = sonda.encoders.Json
