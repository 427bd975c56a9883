"""The exposition format: how numbers and labels are written."""

from __future__ import annotations

from returns.result import Success

from sonda.pipeline.encoders import encode_series, joined, prometheus_text
from sonda.pipeline.encoders.prometheus_text import PrometheusText
from tests.support.events import sample


def test_labels_are_sorted_and_escaped() -> None:
    """Quote, backslash and newline have an escape; an empty label stays, and none is no braces."""
    labels = {"b": 'x"\\\ny', "a": ""}
    body = prometheus_text.encode(sample(name="m", labels=labels, time_ns=0), PrometheusText())
    assert body == Success(b'm{a="",b="x\\"\\\\\\ny"} 1 0\n')
    bare = prometheus_text.encode(sample(name="m", labels={}, time_ns=0), PrometheusText())
    assert bare == Success(b"m 1 0\n")


def test_times_are_floored() -> None:
    """A sample is never of a millisecond that had not begun."""
    metric = sample(name="m", labels={}, time_ns=1_999_999)
    assert prometheus_text.encode(metric, PrometheusText()) == Success(b"m 1 1\n")


def test_a_series_without_timestamps() -> None:
    """Without `timestamp` the lines of many are the values alone."""
    options = PrometheusText(precision=1, timestamp=False)
    many = encode_series(
        prometheus_text.ENCODER, sample(name="m", labels={}), [1.0, 2.5], [1, 2], options
    )
    assert many == Success(joined(b"m 1.0\nm 2.5\n"))
