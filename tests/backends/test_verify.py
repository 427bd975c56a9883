"""Events that are read back from the real destinations that can be asked."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

import sonda
from sonda.pipeline.deliver import Pipeline
from tests.support.bodies import LOG, METRIC, changed, raw
from tests.support.command_line import process
from tests.support.serving import Serving

from .kafka import Kafka
from .ledger import Ledger
from .loki import Loki
from .prometheus import Prometheus
from .victoriametrics import VictoriaMetrics

PATIENCE: dict[str, Any] = {"timeout": "20s"}
JSON = {"Content-Type": "application/json"}


def verified(body: dict[str, Any]) -> sonda.Receipt:
    """Deliver an event and read it back."""
    receipt = sonda.emit(changed(body, verify=PATIENCE)).unwrap()
    assert receipt.verified is True, receipt.warnings
    assert receipt.confirmed is sonda.Confirmed.QUERYABLE
    assert receipt.visible_us is not None
    return receipt


@pytest.mark.parametrize(
    "labels", [{"app": 'a"b\\\n€'}, {"app": "web", "empty": ""}, {"service_name": "mine"}, {}]
)
def test_an_entry_in_loki(loki: Loki, landed: Ledger, labels: dict[str, str]) -> None:
    """By its labels, its nanosecond and its line, whatever is in them."""
    sink = {"type": "loki", "url": loki.url}
    verified(changed(LOG, labels=labels, sink=sink, log__message=f'{uuid4()} "\\\n'))
    landed.record("loki", sent=1, found=1)


@pytest.mark.parametrize("value", [1 / 3, -0.0, 5e-324, 1.7976931348623157e308, 2.0**53])
def test_a_sample_in_prometheus(prometheus: Prometheus, landed: Ledger, value: float) -> None:
    """By its series, its millisecond and its value, to the last bit."""
    sink = {"type": "remote_write", "url": f"{prometheus.web.url}/api/v1/write"}
    body = changed(METRIC, encoder={"type": "remote_write"}, sink=sink, metric__value=value)
    verified(changed(body, labels={"event": uuid4().hex, "q": '"\\é'}))
    landed.record("prometheus remote_write", sent=1, found=1)


def test_a_sample_in_prometheus_below_a_prefix(
    prometheus_prefixed: Prometheus, server: Serving, landed: Ledger
) -> None:
    """The query goes below the prefix, too: asked by the library, the server and the command line."""
    sink = {"type": "remote_write", "url": prometheus_prefixed.write_url}
    body = changed(METRIC, encoder={"type": "remote_write"}, sink=sink)
    verified(changed(body, labels={"event": "library"}))
    answer = server.request(
        "POST",
        "/events",
        content=raw(changed(body, labels={"event": "server"}, verify=PATIENCE)),
        headers=JSON,
    )
    assert (answer.status_code, answer.json()["verified"]) == (200, True)
    to = f"prometheus={prometheus_prefixed.write_url}"
    words = ("emit", "metric", "below_a_prefix", "1", "--to", to, "--verify", "20s")
    for through in ((), ("--server", server.url)):
        run = process(*words, *through)
        assert run.returncode == 0, run.stderr
        assert "seen after" in run.stdout
    landed.record("prometheus remote_write", sent=4, found=4)


def test_asked_without_the_prefix(
    prometheus_prefixed: Prometheus, server: Serving, landed: Ledger, tmp_path: Path
) -> None:
    """It was acknowledged, and the refused query is quoted; the command's status is 4."""
    sink = {"type": "remote_write", "url": prometheus_prefixed.write_url}
    elsewhere = {"timeout": "20s", "url": prometheus_prefixed.web.url.removesuffix("/prom")}
    body = changed(METRIC, encoder={"type": "remote_write"}, sink=sink, verify=elsewhere)
    why = "the query failed: 404"
    receipt = sonda.emit(changed(body, labels={"event": "library"})).unwrap()
    assert receipt.verified is False
    assert why in receipt.warnings[-1]
    answer = server.request(
        "POST", "/events", content=raw(changed(body, labels={"event": "server"})), headers=JSON
    )
    assert (answer.status_code, answer.json()["verified"]) == (200, False)
    assert why in answer.json()["warnings"][-1]
    (tmp_path / "event.json").write_bytes(raw(changed(body, labels={"event": "command"})))
    for through in ((), ("--server", server.url)):
        run = process("emit", "event.json", *through, cwd=tmp_path)
        assert run.returncode == 4
        assert "not seen in time" in run.stderr
        assert why in run.stderr
    landed.record("prometheus remote_write", sent=4, found=4)


def test_a_rounded_sample_in_victoriametrics(
    victoriametrics: VictoriaMetrics, landed: Ledger
) -> None:
    """What it rounds is not called verified, and the warning has both values; the rest is."""
    sink = {"type": "remote_write", "url": f"{victoriametrics.web.url}/api/v1/write"}
    body = changed(METRIC, encoder={"type": "remote_write"}, sink=sink, verify=PATIENCE)
    rounded = sonda.emit(changed(body, labels={"event": "a"}, metric__value=1 / 3)).unwrap()
    assert rounded.verified is False
    assert rounded.confirmed is sonda.Confirmed.ACCEPTED
    assert 'found "0.333333333333" at its time, expected "0.3333333333333333"' in str(
        rounded.warnings
    )
    verified(changed(body, labels={"event": "b"}, metric__value=0.5))
    landed.record("victoriametrics remote_write", sent=2, found=2)


def test_another_value_in_victoriametrics(victoriametrics: VictoriaMetrics, landed: Ledger) -> None:
    """Of two values at one millisecond it keeps both, and shows the second after some seconds."""
    sink = {"type": "remote_write", "url": f"{victoriametrics.web.url}/api/v1/write"}
    body = changed(METRIC, encoder={"type": "remote_write"}, sink=sink, verify=PATIENCE)
    body = changed(body, labels={"event": uuid4().hex}, timestamp=f"{datetime.now(UTC):%FT%T}Z")
    verified(changed(body, metric__value=1))
    verified(changed(body, metric__value=2))
    landed.record("victoriametrics remote_write", sent=2, found=2)


def test_another_tenant_of_loki(loki_strict: Loki) -> None:
    """The tenant's header goes to the sink's own origin alone; without it Loki refuses the query."""
    sink = {"type": "loki", "url": loki_strict.url, "headers": {"X-Scope-OrgID": "verify"}}
    body = changed(LOG, labels={"app": "verify"}, sink=sink)
    verified(body)
    elsewhere = loki_strict.url.replace("127.0.0.1", "localhost")
    refused = sonda.emit(changed(body, verify={"timeout": "5s", "url": elsewhere})).unwrap()
    assert refused.verified is False
    assert "the query failed: 401 no org id" in refused.warnings[-1]


@pytest.mark.parametrize("options", [{}, {"key": "k", "headers": {"h": "v€"}}])
def test_a_record_in_kafka(kafka: Kafka, landed: Ledger, options: dict[str, Any]) -> None:
    """The record at its offset has its key, value, time and headers."""
    sink = {"type": "kafka", "brokers": kafka.addresses["plain"], "topic": kafka.create_topic()}
    receipt = verified(changed(LOG, sink={**sink, **options}))
    assert receipt.place is not None
    landed.record("kafka plain", sent=1, found=1)


def test_a_record_that_is_gone_or_cannot_be_fetched(kafka: Kafka) -> None:
    """Deleted as retention deletes it, or at a broker that hangs: it was acknowledged, and not seen."""
    sink = {"type": "kafka", "brokers": kafka.addresses["plain"], "topic": kafka.create_topic()}
    body = changed(LOG, sink=sink)

    async def main() -> list[Any]:
        async with Pipeline() as pipeline:
            event = pipeline.prepare(raw(changed(body, verify={"timeout": "1s"}))).unwrap()
            found = []
            for before, after in ((kafka.delete, None), (lambda _: kafka.pause(), kafka.resume)):
                receipt = await pipeline.deliver(raw(body))
                await asyncio.to_thread(before, receipt.unwrap().place)
                try:
                    found.append(await pipeline._verified(event, receipt, until_s=None))
                finally:
                    if after is not None:
                        after()
            return found

    for receipt in asyncio.run(main()):
        assert receipt.unwrap().verified is False
        assert receipt.unwrap().confirmed is sonda.Confirmed.ACCEPTED
        assert "not read back" in receipt.unwrap().warnings[-1]


def test_a_topic_with_a_time_of_its_own(kafka: Kafka) -> None:
    """A record that the broker has stamped anew is not the event's, and the warning says so."""
    topic = kafka.create_topic(config={"message.timestamp.type": "LogAppendTime"})
    sink = {"type": "kafka", "brokers": kafka.addresses["plain"], "topic": topic}
    receipt = sonda.emit(changed(LOG, sink=sink, verify={"timeout": "5s"})).unwrap()
    assert receipt.verified is False
    assert "timestamp" in receipt.warnings[-1]


def test_a_line_in_a_file(tmp_path: Path) -> None:
    """The bytes at its offset."""
    sink = {"type": "file", "path": str(tmp_path / "x.log")}
    for _ in range(3):
        verified(changed(LOG, sink=sink))
