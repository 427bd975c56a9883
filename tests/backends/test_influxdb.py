"""Metrics in a real InfluxDB: every double and every tag comes back as it went in."""

from __future__ import annotations

import math
import re
from typing import Any
from uuid import uuid4

import pytest

import sonda
from sonda.pipeline.problems import Refused

from .influxdb import DATABASE, InfluxDB
from .ledger import Ledger
from .sending import emit_all, metric_to

ROW = "influxdb"
VALUES = [0.1, 0.1 + 0.2, -1.5, 100.0, 0.0, -0.0, 1e21, 5e-324, 1.7976931348623157e308, 2.0**63]
AWKWARD = [
    *("a,b", "a b", "a=b", " a ", ",", "=", " ", ",= ,="),
    *('a"b', '"q"', "'q'", "#a", "{}", "1i", "t", "tab\ta", "cr\ra", "\x01"),
    *(r"a\b", r"\a", r"a\\b", r"a\,b", r"a\ b", r"a\=b", r"a\"b", r"a\nb", r"\\\a"),
    *("é€😀", "\N{LINE SEPARATOR}"),
]


def event(influxdb: InfluxDB, name: str, **changes: Any) -> dict[str, Any]:
    """Write the body of a metric for the database."""
    return metric_to(f"{influxdb.web.url}/write?db={DATABASE}", name, "influx_lp", **changes)


def new_name() -> str:
    """Make up a measurement that nobody else writes to."""
    return f"sonda_{uuid4().hex}"


def test_a_metric_is_found(influxdb: InfluxDB, landed: Ledger) -> None:
    """Tags, field and time come back as they went in, to the nanosecond."""
    name = new_name()
    labels = {"event": "deploy_start", "job": "sonda", "empty": ""}
    receipt = sonda.emit(event(influxdb, name, labels=labels)).unwrap()
    assert (receipt.confirmed, receipt.status) == (sonda.Confirmed.ACCEPTED, 204)
    (point,) = influxdb.wait_for(name)
    landed.record(ROW, sent=1, found=1)
    assert point.time_ns == receipt.time_ns
    assert point.tags == {"event": "deploy_start", "job": "sonda"}
    assert point.fields == {"value": 1.0}


@pytest.mark.parametrize("value", VALUES)
def test_every_double_comes_back(influxdb: InfluxDB, landed: Ledger, value: float) -> None:
    """What comes back is the same double, the sign of a zero included."""
    name = new_name()
    sonda.emit(event(influxdb, name, metric__value=value)).unwrap()
    (point,) = influxdb.wait_for(name)
    landed.record(ROW, sent=1, found=1)
    assert point.fields == {"value": value}
    assert math.copysign(1, point.fields["value"]) == math.copysign(1, value)


def test_a_precision_rounds(influxdb: InfluxDB, landed: Ledger) -> None:
    """With a precision the value has so many decimals."""
    name = new_name()
    sonda.emit(event(influxdb, name, metric__value=99.6149, encoder__precision=2)).unwrap()
    (point,) = influxdb.wait_for(name)
    landed.record(ROW, sent=1, found=1)
    assert point.fields == {"value": 99.61}


def test_awkward_tags_come_back(influxdb: InfluxDB, landed: Ledger) -> None:
    """Every text that line protocol can carry as a tag's value is the same afterwards."""
    name = new_name()
    emit_all(event(influxdb, name, labels={"k": text, "z": "1"}) for text in AWKWARD)
    points = influxdb.wait_for(name, count=len(AWKWARD))
    landed.record(ROW, sent=len(AWKWARD), found=len(points))
    assert sorted(point.tags["k"] for point in points) == sorted(AWKWARD)
    assert {(point.tags["z"], point.fields["value"]) for point in points} == {("1", 1.0)}


def test_awkward_field_keys_come_back(influxdb: InfluxDB, landed: Ledger) -> None:
    """The name of the field may be as awkward, but for a backslash before what needs one."""
    name = new_name()
    keys = [text for text in AWKWARD if not re.search(r'\\[,= "]|[\x00-\x1f]', text)]
    emit_all(event(influxdb, name, encoder__field_key=key) for key in keys)
    points = influxdb.wait_for(name, count=len(keys))
    landed.record(ROW, sent=len(keys), found=len(points))
    assert sorted(key for point in points for key in point.fields) == sorted(keys)


def test_many_at_once_are_all_found(influxdb: InfluxDB, landed: Ledger) -> None:
    """Points of one series at the same moment are kept apart by the clock."""
    name, count = new_name(), 300
    receipts = emit_all(event(influxdb, name) for _ in range(count))
    points = influxdb.wait_for(name, count=count)
    landed.record(ROW, sent=count, found=len(points))
    assert [point.time_ns for point in points] == sorted(receipt.time_ns for receipt in receipts)


def test_a_refusal_is_quoted(influxdb: InfluxDB) -> None:
    """A database that is not there is a no, in InfluxDB's words."""
    body = event(influxdb, new_name(), sink__url=f"{influxdb.web.url}/write?db=nowhere")
    problem = sonda.emit(body).failure()
    assert isinstance(problem, Refused)
    assert problem.status == "404 Not Found"
    assert 'database not found: \\"nowhere\\"' in problem.answer
