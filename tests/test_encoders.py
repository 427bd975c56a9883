"""The wire bytes of every text encoder, and what each refuses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, get_type_hints

import pytest
from returns.result import Failure
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.single_file import SingleFileSnapshotExtension

from sonda.pipeline.encoders import Encoder, influx_lp, json_lines, prometheus_text, syslog
from sonda.pipeline.encoders.influx_lp import InfluxLp
from sonda.pipeline.encoders.json_lines import JsonLines
from sonda.pipeline.encoders.prometheus_text import PrometheusText
from sonda.pipeline.encoders.syslog import Syslog
from sonda.pipeline.problems import Invalid, ValidationIssue
from tests.support.events import EVENTS

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
