"""What holds for every event: encoders are total and pure, and others read what they write."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from line_protocol_parser import parse_line  # type: ignore[import-untyped]  # a C extension
from prometheus_client.parser import text_string_to_metric_families
from returns.result import Failure, Success

from sonda.pipeline.encoders import Encoder, influx_lp, json_lines, prometheus_text, syslog
from sonda.pipeline.encoders.influx_lp import InfluxLp
from sonda.pipeline.encoders.json_lines import JsonLines
from sonda.pipeline.encoders.prometheus_text import PrometheusText
from sonda.pipeline.encoders.syslog import Syslog
from sonda.pipeline.model import Log, Metric
from sonda.pipeline.problems import Invalid
from sonda.pipeline.values.timestamps import LATEST_NS
from tests.property.strategies import (
    header_names,
    label_names,
    precisions,
    records,
    samples,
    sd_names,
    texts,
    unhurried,
)

ENCODERS: Final[Mapping[str, Encoder[Any, Any]]] = {
    "json_lines": json_lines.ENCODER,
    "prometheus_text": prometheus_text.ENCODER,
    "influx_lp": influx_lp.ENCODER,
    "syslog": syslog.ENCODER,
}
EVENTS: Final[Mapping[str, st.SearchStrategy[Log | Metric]]] = {
    "json_lines": records() | samples(),
    "prometheus_text": samples(),
    "influx_lp": samples(names=label_names() | st.just("time")),
    "syslog": records(field_names=texts() | sd_names()),
}
OPTIONS: Final[Mapping[str, st.SearchStrategy[Any]]] = {
    "json_lines": st.builds(JsonLines, precision=precisions()),
    "prometheus_text": st.builds(PrometheusText, precision=precisions(), timestamp=st.booleans()),
    "influx_lp": st.builds(
        InfluxLp,
        precision=precisions(),
        field_key=texts().filter(lambda key: key not in ("", "time")),
    ),
    "syslog": st.builds(Syslog, hostname=header_names(255), app_name=header_names(48)),
}
every_encoder = pytest.mark.parametrize("encoder", ENCODERS)


@every_encoder
@unhurried
@given(case=st.data())
def test_encode_is_total(encoder: str, case: st.DataObject) -> None:
    """A valid event gives bytes that end with LF, or an `Invalid` that names something."""
    event, options = case.draw(EVENTS[encoder]), case.draw(OPTIONS[encoder])
    match ENCODERS[encoder].encode(event, options):
        case Success(body):
            assert body.endswith(b"\n")
            body.decode()
        case Failure(Invalid(flaws)):
            assert flaws
            assert all(str(flaw).isprintable() for flaw in flaws)
        case other:
            pytest.fail(f"neither bytes nor a refusal: {other}")


@every_encoder
@unhurried
@given(case=st.data())
def test_encode_is_deterministic(encoder: str, case: st.DataObject) -> None:
    """Equal events give equal bytes or problems, however their labels and fields are ordered."""
    event, options = case.draw(EVENTS[encoder]), case.draw(OPTIONS[encoder])
    encode = ENCODERS[encoder].encode
    assert encode(event, options) == encode(_shuffled(event), options)


def _shuffled(event: Log | Metric) -> Log | Metric:
    labels = dict(reversed(list(event.labels.items())))
    match event:
        case Log():
            fields = dict(reversed(list(event.fields.items())))
            return msgspec.structs.replace(event, labels=labels, fields=fields)
        case Metric():
            return msgspec.structs.replace(event, labels=labels)


@pytest.mark.parametrize("encoder", ["json_lines", "prometheus_text", "influx_lp"])
@unhurried
@given(case=st.data())
def test_one_event_is_one_line(encoder: str, case: st.DataObject) -> None:
    """No text whatsoever, in any place, breaks a line in two."""
    event, options = case.draw(EVENTS[encoder]), case.draw(OPTIONS[encoder])
    body = ENCODERS[encoder].encode(event, options).value_or(b"\n")
    assert body.find(b"\n") == len(body) - 1


def _milliseconds(time_ns: int) -> int:
    return time_ns // 1_000_000


def _rfc3339_ms(time_ns: int) -> str:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    instant = epoch + timedelta(milliseconds=_milliseconds(time_ns))
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _printed(value: float, precision: int | None) -> float:
    """What a decimal text with *precision* decimals leaves of *value*."""
    return value if precision is None else float(f"{value:.{precision}f}")


def _read_json_lines(body: bytes) -> list[Any]:
    """Read with the standard library, every object as the list of its members."""
    return [json.loads(line, object_pairs_hook=list) for line in body.split(b"\n")[:-1]]


def _as_json(event: Log | Metric, options: JsonLines) -> list[tuple[str, Any]]:
    time = ("timestamp", _rfc3339_ms(event.time_ns))
    labels = ("labels", sorted(event.labels.items()))
    match event:
        case Log():
            fields = ("fields", sorted(event.fields.items()))
            text = [("severity", event.severity), ("message", event.message)]
            return [time, *text, labels, fields]
        case Metric():
            rounded = options.precision is not None
            value = round(event.value, options.precision) if rounded else event.value
            return [("name", event.name), ("value", value), labels, time]


@unhurried
@given(st.lists(st.tuples(EVENTS["json_lines"], OPTIONS["json_lines"]), min_size=1, max_size=3))
def test_json_lines_reads_back(cases: list[tuple[Log | Metric, JsonLines]]) -> None:
    """Joined lines give every event again, its members in the order of the contract."""
    body = b"".join(json_lines.encode(*case).unwrap() for case in cases)
    # repr: it tells -0.0 from 0.0
    assert repr(_read_json_lines(body)) == repr([_as_json(*case) for case in cases])


def _read_prometheus_text(body: bytes) -> list[Any]:
    """Read with Prometheus' own Python client."""
    families = text_string_to_metric_families(body.decode())
    return [
        (sample.name, sample.labels, sample.value, sample.timestamp)
        for family in families
        for sample in family.samples
    ]


def _as_prometheus(sample: Metric, options: PrometheusText) -> Any:
    seconds = _milliseconds(sample.time_ns) / 1000 if options.timestamp else None
    return sample.name, sample.labels, _printed(sample.value, options.precision), seconds


# Prometheus reserves `__…` for itself: a server takes them in an exposition, its client does not.
_exposed = samples(names=label_names().filter(lambda name: not name.startswith("__")))


@unhurried
@given(st.lists(st.tuples(_exposed, OPTIONS["prometheus_text"]), min_size=1, max_size=3))
def test_prometheus_text_reads_back(cases: list[tuple[Metric, PrometheusText]]) -> None:
    """Joined samples give every name, label, value and time again."""
    body = b"".join(prometheus_text.encode(*case).unwrap() for case in cases)
    assert _read_prometheus_text(body) == [_as_prometheus(*case) for case in cases]


def _read_influx_lp(body: bytes) -> list[Any]:
    """Read with a parser that follows InfluxDB 1.x."""
    return [parse_line(line.decode()) for line in body.split(b"\n")[:-1]]


def _as_point(sample: Metric, options: InfluxLp) -> dict[str, Any]:
    return {
        "measurement": sample.name,
        "tags": {name: value for name, value in sample.labels.items() if value},
        "fields": {options.field_key: _printed(sample.value, options.precision)},
        "time": sample.time_ns,
    }


# The parser takes neither NUL nor CR nor subnormal numbers; InfluxDB does.
_tag_values = texts().map(lambda text: re.sub(r"[\x00\r\n]", "", text).rstrip("\\"))
# InfluxDB 1.x skips blanks before a field's key, and reads backslashes there in pairs: it
# refuses the line if an odd number of them stands before a character that is escaped itself.
_field_keys = _tag_values.filter(
    lambda key: (
        key not in ("", "time")
        and not key.startswith("\t")
        and not re.search(r"(?<!\\)(\\\\)*\\[ ,=]", key)
    )
)
_points = st.tuples(
    samples(
        text=_tag_values,
        names=label_names().filter(lambda name: name != "time"),
        value=st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False),
        time_ns=st.integers(0, LATEST_NS - 1),  # InfluxDB keeps the last instant for itself
    ),
    st.builds(InfluxLp, field_key=_field_keys, precision=precisions()),
)


@unhurried
@given(st.lists(_points, min_size=1, max_size=3))
def test_influx_lp_reads_back(cases: list[tuple[Metric, InfluxLp]]) -> None:
    """Joined points give every name, tag, field and time again, to the nanosecond."""
    body = b"".join(influx_lp.encode(*case).unwrap() for case in cases)
    assert _read_influx_lp(body) == [_as_point(*case) for case in cases]


# RFC 5424 section 6, rule by rule; no maintained package parses it.
_PARAM: Final = r'[!#-<>-\\^-~]{1,32}="(?:[^"\\\]]|\\["\\\]])*"'
_ELEMENT: Final = rf"\[[!#-<>-\\^-~]{{1,32}}(?: {_PARAM})*\]"
_MESSAGE: Final = re.compile(
    r"<(?P<pri>0|[1-9][0-9]?|1[0-8][0-9]|19[01])>1"
    r" (?P<time>[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{1,6}Z)"
    r" (?P<hostname>[!-~]{1,255}) (?P<app_name>[!-~]{1,48}) (?P<procid>-) (?P<msgid>-)"
    rf" (?P<sd>-|(?:{_ELEMENT})+)(?: (?P<msg>.*))?",
    re.DOTALL,
)


def _read_syslog(frame: str) -> dict[str, Any]:
    """Read one message by the grammar, its structured data as names and values."""
    match = _MESSAGE.fullmatch(frame)
    assert match is not None, frame
    elements = [
        (
            re.split("[ \\]]", element, maxsplit=1)[0][1:],
            [
                (name, re.sub(r'\\(["\\\]])', r"\1", value))
                for name, value in re.findall(r' ([^ =]+)="((?:[^"\\]|\\.)*)"', element)
            ],
        )
        for element in re.findall(_ELEMENT, match["sd"])
    ]
    return {**match.groupdict(default=""), "sd": elements}


def _as_message(record: Log, options: Syslog) -> dict[str, Any]:
    severities = {"trace": 7, "debug": 7, "info": 6, "warn": 4, "error": 3, "fatal": 0}
    elements = {"sonda@32473": record.labels, "fields@32473": record.fields}
    return {
        "pri": str(8 + severities[record.severity]),
        "time": _rfc3339_ms(record.time_ns),
        "hostname": options.hostname,
        "app_name": options.app_name,
        "procid": "-",
        "msgid": "-",
        "sd": [(sd_id, sorted(params.items())) for sd_id, params in elements.items() if params],
        "msg": record.message,
    }


@unhurried
@given(records(field_names=sd_names()), OPTIONS["syslog"])
def test_syslog_reads_back(record: Log, options: Syslog) -> None:
    """A message gives every part of the event again, newlines included."""
    body = syslog.encode(record, options).unwrap().decode()
    assert _read_syslog(body.removesuffix("\n")) == _as_message(record, options)


_one_line = records(text=texts().filter(lambda text: "\n" not in text), field_names=sd_names())


@unhurried
@given(st.lists(st.tuples(_one_line, OPTIONS["syslog"]), min_size=2, max_size=3))
def test_syslog_lines_read_back(cases: list[tuple[Log, Syslog]]) -> None:
    """Joined messages without newlines give every event again."""
    lines = b"".join(syslog.encode(*case).unwrap() for case in cases).decode().split("\n")
    assert [_read_syslog(line) for line in lines[:-1]] == [_as_message(*case) for case in cases]
