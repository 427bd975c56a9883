"""The heads of columns: which are a metric's, and what is left of names that Prometheus has not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonda.pipeline.scenarios.csv_heads import Header, read_header
from tests.property.strategies import label_names, metric_names, texts, unhurried


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("up", Header("up", {})),
        (' up { job = "x" , } ', Header("up", {"job": "x"})),
        ('{__name__="up", job="x"}', Header("up", {"job": "x"})),
        ('{"http.requests", "a.job"="x"}', Header("http_requests", {"a_job": "x"})),
        ("service.name", Header("service_name", {})),
        (r'up{a="x\"y\\\n,}="}', Header("up", {"a": 'x"y\\\n,}='})),
        ('{job="x"}', Header(None, {"job": "x"})),
        ("Value", Header(None, {})),
        ("", Header(None, {})),
        ('{"5xx"}', Header("_5xx", {})),
        ('up {__name__="up", job="x"}', Header("up", {"job": "x"})),
        ('Value {__name__="up"}', Header("up", {})),
        ('{"Value", __name__="up"}', Header("up", {})),
        ('service.name{__name__="service_name"}', Header("service_name", {})),
    ],
)
def test_a_head(text: str, header: Header) -> None:
    """As PromQL, Grafana and OpenTelemetry write it; Grafana's `Value` is no name."""
    assert read_header(text) == header


@pytest.mark.parametrize(
    "text",
    [
        "5xx",
        "a b",
        "CPU (%)",
        "up{",
        'up{job="x}',
        "up{job=x}",
        'up{job="x" env="y"}',
        'up{job="x",job="y"}',
        'up{"a.b"="x",a_b="y"}',
        'up{"down"}',
        'up{__name__="down"}',
        '{__name__="up", "down"}',
        'up{__name__="up", __name__="up"}',
        "up{job}",
        "é",
    ],
)
def test_what_is_none(text: str) -> None:
    """Nothing is guessed: a label twice, too, where two names become one, and two metrics in one head."""
    assert read_header(text) is None


@unhurried
@given(metric_names(), st.dictionaries(label_names(), texts(), max_size=3))
def test_what_promql_writes_reads_back(name: str, labels: dict[str, str]) -> None:
    """Whatever a label holds."""
    escapes = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
    pairs = ",".join(f'{label}="{text.translate(escapes)}"' for label, text in labels.items())
    expected = None if name == "value" else name
    assert read_header(f"{name}{{{pairs}}}") == Header(expected, labels)
