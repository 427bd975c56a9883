"""The wire bytes of every text encoder, what each refuses, and how numbers are written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, get_type_hints

import pytest
from returns.result import Failure, Success
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.single_file import SingleFileSnapshotExtension

from sonda.pipeline.encoders import Encoder, influx_lp, json_lines, prometheus_text, syslog
from sonda.pipeline.encoders.influx_lp import InfluxLp
from sonda.pipeline.encoders.json_lines import JsonLines
from sonda.pipeline.encoders.prometheus_text import PrometheusText
from sonda.pipeline.encoders.syslog import Syslog
from sonda.pipeline.problems import Invalid, ValidationIssue
from tests.support.events import EVENTS, record, sample

ENCODERS: Final[Mapping[str, Encoder[Any, Any]]] = {
    "json_lines": json_lines.ENCODER,
    "prometheus_text": prometheus_text.ENCODER,
    "influx_lp": influx_lp.ENCODER,
    "syslog": syslog.ENCODER,
}


def _no_sd_name(path: str, quoted: str) -> ValidationIssue:
    return ValidationIssue(
        path,
        f"{quoted} is no name for structured data: must be 1 to 32 printable ASCII characters "
        "other than space, '=', ']' and '\"'",
    )


REFUSED: Final[Mapping[tuple[str, str], Invalid]] = {
    ("influx_lp", "metric_newline"): Invalid(
        (
            ValidationIssue(
                "labels.a",
                r'"x\"y\\z\nw" contains a newline, which line protocol cannot carry here',
            ),
        )
    ),
    ("influx_lp", "metric_final_backslash"): Invalid(
        (
            ValidationIssue(
                "labels.path", r'"C:\\" ends in a backslash, which would escape what follows it'
            ),
        )
    ),
    ("influx_lp", "metric_time_label"): Invalid(
        (ValidationIssue("labels.time", '"time" is the timestamp in line protocol, not a tag'),)
    ),
    ("syslog", "log_non_ascii_name"): Invalid((_no_sd_name('log.fields["ü"]', '"ü"'),)),
    ("syslog", "log_sd_bad_names"): Invalid(
        (
            _no_sd_name(f"labels.{'l' * 33}", f'"{"l" * 33}"'),
            _no_sd_name('log.fields[""]', '""'),
            _no_sd_name(r'log.fields["a\n"]', r'"a\n"'),
            _no_sd_name('log.fields["a b"]', '"a b"'),
            _no_sd_name(r'log.fields["a\"b"]', r'"a\"b"'),
            _no_sd_name('log.fields["a=b"]', '"a=b"'),
            _no_sd_name('log.fields["a]b"]', '"a]b"'),
            _no_sd_name('log.fields["é"]', '"é"'),
        )
    ),
}

PAIRS: Final = [
    (encoder, event)
    for encoder, about in ENCODERS.items()
    for event, value in EVENTS.items()
    if isinstance(value, next(iter(get_type_hints(about.encode).values())))
]

OPTIONS: Final[Mapping[str, tuple[str, str, object]]] = {
    "json_lines-precision_2": ("json_lines", "metric_percent", JsonLines(precision=2)),
    "json_lines-precision_0": ("json_lines", "metric_percent", JsonLines(precision=0)),
    "json_lines-precision_17": ("json_lines", "metric_tenth", JsonLines(precision=17)),
    "json_lines-precision_log": ("json_lines", "deploy_start", JsonLines(precision=2)),
    "prometheus_text-precision_2": (
        "prometheus_text",
        "metric_hundred",
        PrometheusText(precision=2),
    ),
    "prometheus_text-precision_0": (
        "prometheus_text",
        "metric_percent",
        PrometheusText(precision=0),
    ),
    "prometheus_text-no_timestamp": (
        "prometheus_text",
        "deploy_events_total",
        PrometheusText(timestamp=False),
    ),
    "prometheus_text-bare": (
        "prometheus_text",
        "metric_no_labels",
        PrometheusText(precision=17, timestamp=False),
    ),
    "influx_lp-field_key": ("influx_lp", "deploy_events_total", InfluxLp(field_key="cpu percent")),
    "influx_lp-field_key_specials": (
        "influx_lp",
        "metric_no_labels",
        InfluxLp(field_key='a,b=c d\\e"ü'),
    ),
    "influx_lp-precision_2": ("influx_lp", "metric_percent", InfluxLp(precision=2)),
    "influx_lp-precision_17": ("influx_lp", "metric_tenth", InfluxLp(precision=17)),
    "syslog-names": (
        "syslog",
        "deploy_start",
        Syslog(hostname="edge-1.example.com", app_name="-"),
    ),
    "syslog-longest_names": (
        "syslog",
        "log_bare",
        Syslog(hostname="h" * 255, app_name="a" * 48),
    ),
}


class WireFile(SingleFileSnapshotExtension):
    """One file of raw bytes per case."""

    file_extension = "wire"


@pytest.mark.parametrize(("encoder", "event"), [pair for pair in PAIRS if pair not in REFUSED])
def test_wire_bytes(encoder: str, event: str, snapshot: SnapshotAssertion) -> None:
    """These exact bytes were reviewed by a person."""
    about = ENCODERS[encoder]
    body = about.encode(EVENTS[event], about.options()).unwrap()
    assert body == snapshot(extension_class=WireFile)


@pytest.mark.parametrize("case", OPTIONS)
def test_wire_bytes_with_options(case: str, snapshot: SnapshotAssertion) -> None:
    """These exact bytes, made with options other than the defaults, were reviewed by a person."""
    encoder, event, options = OPTIONS[case]
    body = ENCODERS[encoder].encode(EVENTS[event], options).unwrap()
    assert body == snapshot(extension_class=WireFile)


@pytest.mark.parametrize(("encoder", "event"), REFUSED)
def test_names_all_it_cannot_carry(encoder: str, event: str) -> None:
    """An event that the format cannot carry fails, and every reason is named with its place."""
    about = ENCODERS[encoder]
    refusal = about.encode(EVENTS[event], about.options())
    assert refusal == Failure(REFUSED[encoder, event])


@pytest.mark.parametrize(
    ("encoder", "content_type"),
    [
        ("json_lines", "application/x-ndjson"),
        ("prometheus_text", "text/plain; version=0.0.4; charset=utf-8"),
        ("influx_lp", "text/plain; charset=utf-8"),
        ("syslog", "text/plain; charset=utf-8"),
    ],
)
def test_content_type(encoder: str, content_type: str) -> None:
    """Each encoder says what its bytes are."""
    assert ENCODERS[encoder].content_type == content_type


def test_influx_lp_names_flaws_of_labels_and_field_key() -> None:
    """Every label is looked at, in their order, and then the field's key."""
    unfit = sample(labels={"time": "\\", "a": "fine", "B": "x\n\\"})
    options = InfluxLp(field_key="cpu\npercent\\")
    newline = "contains a newline, which line protocol cannot carry here"
    backslash = "ends in a backslash, which would escape what follows it"
    assert influx_lp.encode(unfit, options) == Failure(
        Invalid(
            (
                ValidationIssue("labels.B", rf'"x\n\\" {newline}'),
                ValidationIssue("labels.B", rf'"x\n\\" {backslash}'),
                ValidationIssue(
                    "labels.time", '"time" is the timestamp in line protocol, not a tag'
                ),
                ValidationIssue("labels.time", rf'"\\" {backslash}'),
                ValidationIssue("encoder.field_key", rf'"cpu\npercent\\" {newline}'),
                ValidationIssue("encoder.field_key", rf'"cpu\npercent\\" {backslash}'),
            )
        )
    )


def test_influx_lp_refuses_an_empty_time_label() -> None:
    """A label named `time` is refused for its name, though an empty tag would be left out."""
    assert influx_lp.encode(sample(labels={"time": ""}), InfluxLp()) == Failure(
        Invalid(
            (ValidationIssue("labels.time", '"time" is the timestamp in line protocol, not a tag'),)
        )
    )


def test_a_refusal_quotes_the_start_of_a_long_value() -> None:
    """A quoted value is cut at 200 characters."""
    unfit = sample(labels={"a": "x" * 500 + "\n"})
    assert influx_lp.encode(unfit, InfluxLp()) == Failure(
        Invalid(
            (
                ValidationIssue(
                    "labels.a",
                    f'"{"x" * 200}…" contains a newline, which line protocol cannot carry here',
                ),
            )
        )
    )


def test_syslog_keeps_newlines() -> None:
    """Syslog itself allows a newline; whether a frame can hold it is for the sink to say."""
    body = syslog.encode(record("a\nb", labels={"k": "c\nd"}), Syslog())
    assert body == Success(
        b'<14>1 2026-03-23T14:59:04.840Z sonda sonda - - [sonda@32473 k="c\nd"] a\nb\n'
    )


@pytest.mark.parametrize(
    ("value", "precision", "text"),
    [
        (1.0, None, "1"),
        (0.1, None, "0.1"),
        (1e21, None, "1e+21"),
        (1e16, None, "1e+16"),
        (1e15, None, "1000000000000000"),
        (1e-05, None, "1e-05"),
        (-0.0, None, "-0"),
        (5e-324, None, "5e-324"),
        (1.7976931348623157e308, None, "1.7976931348623157e+308"),
        (10.0, None, "10"),
        (100.05, None, "100.05"),
        (100.0, 2, "100.00"),
        (100.0, 0, "100"),
        (99.60573, 2, "99.61"),
        (0.5, 0, "0"),
        (1.5, 0, "2"),
        (2.675, 2, "2.67"),
        (-0.0, 1, "-0.0"),
        (-0.001, 2, "-0.00"),
        (5e-324, 17, "0.00000000000000000"),
        (0.1, 17, "0.10000000000000001"),
        (1e21, 1, "1000000000000000000000.0"),
    ],
)
def test_decimal_numbers(value: float, precision: int | None, text: str) -> None:
    """The shortest text that reads back, less a final `.0`, or exactly *precision* decimals."""
    metric = sample(value, name="m", labels={}, time_ns=1_000_000)
    exposition = prometheus_text.encode(metric, PrometheusText(precision=precision))
    point = influx_lp.encode(metric, InfluxLp(precision=precision))
    assert exposition == Success(f"m {text} 1\n".encode())
    assert point == Success(f"m value={text} 1000000\n".encode())


@pytest.mark.parametrize(
    ("value", "precision", "text"),
    [
        (1.0, None, "1.0"),
        (1, None, "1.0"),
        (0.1, None, "0.1"),
        (1e21, None, "1e+21"),
        (-0.0, None, "-0.0"),
        (5e-324, None, "5e-324"),
        (1.7976931348623157e308, None, "1.7976931348623157e+308"),
        (99.60573, 2, "99.61"),
        (100.0, 2, "100.0"),
        (99.60573, 0, "100.0"),
        (2.675, 2, "2.67"),
        (-0.001, 2, "-0.0"),
        (0.1, 17, "0.1"),
        (1.7976931348623157e308, 17, "1.7976931348623157e+308"),
        (1.7976931348623157e308, 0, "1.7976931348623157e+308"),
    ],
)
def test_json_numbers(value: float, precision: int | None, text: str) -> None:
    """Always a float's `repr`, of the rounded value where a precision is given."""
    metric = sample(value, name="m", labels={}, time_ns=0)
    assert json_lines.encode(metric, JsonLines(precision=precision)) == Success(
        b'{"name":"m","value":%b,"labels":{},"timestamp":"1970-01-01T00:00:00.000Z"}\n'
        % text.encode()
    )
