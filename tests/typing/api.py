"""The public names as a notebook uses them: mypy reads this file, nothing runs it."""

from __future__ import annotations

from typing import Any, assert_type

from returns.result import Failure, Result, Success

import sonda
from sonda import (
    KafkaTls,
    Log,
    Metric,
    Pipeline,
    Preview,
    Receipt,
    Retry,
    Sasl,
    Tls,
    encoders,
    sinks,
)
from sonda.pipeline.problems import Problem

RETRY = Retry(max_attempts=2, initial_backoff="50ms", max_backoff="1s")
LOG = Log(
    message="Deploy started",
    severity="warn",
    labels={"event": "deploy_start"},
    encoder=encoders.Syslog(hostname="web-1"),
    sink=sinks.Tcp(address="syslog:6514", framing="octet_counting", tls=Tls(), retry=RETRY),
)
KAFKA = sinks.Kafka(
    brokers="kafka-1:9093,kafka-2:9093",
    topic="events",
    sasl=Sasl(mechanism="SCRAM-SHA-512", username="sonda", password="secret"),
    tls=KafkaTls(ca_cert="ca.pem"),
)
METRIC = Metric(
    name="deploys",
    value=1,
    encoder=encoders.InfluxLp(field_key="count"),
    sink=sinks.HttpPush(url="http://influxdb:8086/write?db=ci", headers={"X": "y"}),
)

SAMPLE = Metric(
    name="deploys",
    value=1,
    encoder=encoders.RemoteWrite(),
    sink=sinks.RemoteWrite(url="http://prom:9090/api/v1/write", retry=RETRY),
)

assert_type(sonda.emit(LOG), Result[Receipt, Problem])
assert_type(sonda.encode(METRIC), Result[bytes, Problem])
assert_type(sonda.preview(METRIC), Result[Preview, Problem])
assert_type(sonda.preview(LOG).unwrap().departure.body, bytes)
assert_type(sonda.encode({"signal_type": "logs"}), Result[bytes, Problem])


async def cell() -> None:
    """What a notebook's cell does."""
    assert_type(await sonda.emit_async(METRIC), Result[Receipt, Problem])
    assert_type(await sonda.emit_many_async([LOG, METRIC]), list[Result[Receipt, Problem]])
    assert_type(list(map(sonda.as_row, await sonda.emit_many_async([LOG]))), list[dict[str, Any]])
    async with Pipeline() as pipeline:
        assert_type(await pipeline.emit(LOG), Result[Receipt, Problem])


def show(result: Result[Receipt, Problem]) -> str:
    """Take a result apart."""
    match result:
        case Success(receipt):
            return f"{receipt.confirmed} {receipt.latency_us}"
        case Failure(problem):
            return str(problem)
        case _:
            raise AssertionError
