"""What a second delivery of the same event leaves in real destinations: once stored, or twice."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final
from uuid import uuid4

import pytest

from tests.support.bodies import LOG, METRIC, changed

from .collector import Collector
from .influxdb import DATABASE, InfluxDB
from .kafka import Kafka
from .ledger import Ledger
from .loki import Loki
from .prometheus import Prometheus
from .pushgateway import Pushgateway
from .rsyslog import Rsyslog
from .sending import emit_all, metric_to
from .victorialogs import VictoriaLogs
from .victoriametrics import VictoriaMetrics

ONCE: Final = 1
TWICE: Final = 2


def now() -> str:
    """Write the present second, as of one event."""
    return time.strftime("%Y-%m-%dT%H:%M:%S.123456789Z", time.gmtime())


def send_twice(body: dict[str, Any], other: dict[str, Any]) -> None:
    """Send one event, the same again, and another one: once that is there, all is."""
    stamp = now()
    for again in (body, body, other):
        emit_all([changed(again, timestamp=stamp)])


def record(landed: Ledger, row: str, found: Sequence[object], expected: int) -> None:
    landed.record(row, sent=2, found=len(found))
    assert len(found) == expected


def log_of(name: str, sink: dict[str, Any], encoder: str = "json_lines") -> dict[str, Any]:
    return changed(LOG, labels={"event": name}, encoder={"type": encoder}, sink=sink)


def test_loki_keeps_one(loki: Loki, landed: Ledger) -> None:
    """The same line at the same nanosecond of a stream is the same entry."""
    name = uuid4().hex
    body = log_of(name, {"type": "loki", "url": loki.url})
    send_twice(body, changed(body, log__message="other"))
    found = loki.wait_for(f'{{event="{name}"}}', count=2)
    record(landed, "loki", [e for e in found if "Deploy started" in e.line], ONCE)


def test_prometheus_keeps_one(prometheus: Prometheus, landed: Ledger) -> None:
    """The same value at the same millisecond of a series is the same sample."""
    name = f"sonda:{uuid4().hex}"
    sink = {"type": "remote_write", "url": prometheus.write_url}
    body = changed(METRIC, metric__name=name, encoder={"type": "remote_write"}, sink=sink)
    send_twice(body, changed(body, labels={"other": "x"}))
    series = prometheus.wait_for(name, count=2)
    samples = [one for found in series if "other" not in found.labels for one in found.samples]
    record(landed, "prometheus remote_write", samples, ONCE)


def test_influxdb_keeps_one(influxdb: InfluxDB, landed: Ledger) -> None:
    """A point is its measurement, tags and time; a second one takes its place."""
    name = f"sonda_{uuid4().hex}"
    body = metric_to(f"{influxdb.web.url}/write?db={DATABASE}", name, "influx_lp")
    send_twice(body, changed(body, labels={"other": "x"}))
    points = influxdb.wait_for(name, count=2)
    record(landed, "influxdb", [point for point in points if not point.tags.get("other")], ONCE)


def test_victoriametrics_keeps_both(victoriametrics: VictoriaMetrics, landed: Ledger) -> None:
    """It stores a sample as often as it comes; its queries show one a step."""
    name = f"sonda:{uuid4().hex}"
    sink = {"type": "remote_write", "url": f"{victoriametrics.web.url}/api/v1/write"}
    body = changed(METRIC, metric__name=name, encoder={"type": "remote_write"}, sink=sink)
    send_twice(body, changed(body, labels={"other": "x"}))
    found = victoriametrics.wait_for(name, count=3)
    same = [one for series in found if "other" not in series.labels for one in series.samples]
    record(landed, "victoriametrics remote_write", same, TWICE)


def test_victorialogs_keeps_both(victorialogs: VictoriaLogs, landed: Ledger) -> None:
    """It stores a line as often as it comes."""
    name = uuid4().hex
    body = log_of(name, {"type": "loki", "url": f"{victorialogs.web.url}/insert"}, "syslog")
    send_twice(body, changed(body, log__message="other"))
    found = victorialogs.wait_for(f'_stream:{{event="{name}"}}', count=3)
    same = [line for line in found if "Deploy started" in line["_msg"]]
    record(landed, "victorialogs loki", same, TWICE)


def test_a_pushgateway_keeps_one(pushgateway: Pushgateway, landed: Ledger) -> None:
    """It has one value per series, the last; it takes no timestamps."""
    name = f"sonda:{uuid4().hex}"
    url = f"{pushgateway.web.url}/metrics/job/resend"
    body = metric_to(url, name, "prometheus_text", encoder__timestamp=False)
    other = f"{name}:other"
    send_twice(body, changed(body, metric__name=other))
    pushgateway.wait_for(other)
    record(landed, "pushgateway", pushgateway.wait_for(name), ONCE)


def test_rsyslog_keeps_both(rsyslog: Rsyslog, landed: Ledger) -> None:
    """A message is written as often as it comes."""
    name = uuid4().hex
    body = log_of(name, {"type": "tcp", "address": rsyslog.tcp_address})
    encoder = {"type": "syslog", "app_name": name}
    body = changed(body, encoder=encoder)
    send_twice(body, changed(body, log__message="other"))
    found = rsyslog.wait_for(lambda one: one["app_name"] == name, count=3)
    same = [message for message in found if "Deploy started" in message["msg"]]
    record(landed, "rsyslog tcp lf", same, TWICE)


def test_kafka_keeps_both(kafka: Kafka, landed: Ledger) -> None:
    """Two events are two records, whatever they say; a key lets a compacted topic keep the last."""
    topic = kafka.create_topic()
    sink = {"type": "kafka", "brokers": kafka.addresses["plain"], "topic": topic}
    body = log_of("resend", sink)
    send_twice(body, changed(body, log__message="other"))
    found = kafka.read(topic, count=3)
    same = [one for one in found if b"Deploy started" in one.value]
    record(landed, "kafka plain", same, TWICE)


@pytest.mark.parametrize("way", ["grpc"])
def test_a_collector_passes_both_on(collector: Collector, landed: Ledger, way: str) -> None:
    """It keeps nothing, so it is up to what stands behind it."""
    run = uuid4().hex
    endpoint = f"http://{collector.home.grpc}"
    sink = {"type": "otlp_grpc", "endpoint": endpoint, "signal_type": "logs"}
    body = log_of(run, sink, "otlp")
    send_twice(body, changed(body, log__message="other"))
    found = collector.wait_for(lambda one: one.resource.get("event") == run, count=3)
    same = [one for one in found if one.name == "Deploy started"]
    record(landed, f"collector {way}", same, TWICE)
