"""The canonical events: what the snapshots and the cases of every encoder are made from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, get_args

from sonda.pipeline.model import Event, Log, Metric, Severity

DEPLOYED_NS: Final = 1_774_277_944_840_999_999
"""2026-03-23T14:59:04.840999999Z: rounded up it would be the next millisecond."""
LATEST_NS: Final = 2**63 - 1

_DEPLOY: Final = {"event": "deploy_start", "env": "prod"}
_JOB: Final = {"event": "deploy_start", "job": "sonda"}
_UNSORTED: Final = {"b": "2", "a": "1", "_": "3", "B": "4"}


def record(
    message: str = "Deploy started",
    *,
    severity: Severity = "info",
    labels: Mapping[str, str] = _DEPLOY,
    fields: Mapping[str, str] | None = None,
    time_ns: int = DEPLOYED_NS,
) -> Log:
    """Vary the log event of the first example."""
    return Log(
        message=message, severity=severity, labels=labels, fields=fields or {}, time_ns=time_ns
    )


def sample(
    value: float = 1.0,
    *,
    name: str = "deploy_events_total",
    labels: Mapping[str, str] = _JOB,
    time_ns: int = DEPLOYED_NS,
) -> Metric:
    """Vary the metric event of the second example."""
    return Metric(name=name, value=value, labels=labels, time_ns=time_ns)


RECORDS: Final[Mapping[str, Log]] = {
    "deploy_start": record(fields={"version": "1.2.2"}),
    "log_no_fields": record(),
    "log_no_labels": record(labels={}, fields={"version": "1.2.2"}),
    "log_bare": record(labels={}),
    "log_empty_message": record("", fields={"version": "1.2.2"}),
    "log_empty": record("", labels={}),
    "log_empty_values": record(labels={"env": ""}, fields={"version": ""}),
    "log_unsorted": record(labels=_UNSORTED, fields={"~": "5", **_UNSORTED}),
    "log_non_ascii_name": record(labels=_UNSORTED, fields={"ü": "5", **_UNSORTED}),
    "log_unicode": record(
        'naïve "q" \\ \n\t€😀', labels={"city": "Zürich"}, fields={"z": "1", "a": "ü\u2028"}
    ),
    "log_controls": record("\r\n\x00\x1b[31m\x7f\x85", labels={"k": "a\r\nb"}),
    "log_blanks": record("  two spaces, then two  ", labels={"k": " v "}),
    "log_looks_like_a_bom": record("\ufeffDeploy started"),
    "log_sd_escapes": record(
        '[x] "y" \\z', labels={"k": 'a"b]c\\d', "open": "["}, fields={"a.b/c:d[0": "\\", "q": '"'}
    ),
    "log_sd_longest_name": record(labels={"l" * 32: "x"}, fields={"!#<>\\^~": "y"}),
    "log_sd_bad_names": record(
        labels={"l" * 33: "x", "ok": "y"},
        fields={"": "1", "a b": "2", "a=b": "3", "a]b": "4", 'a"b': "5", "é": "6", "a\n": "7"},
    ),
    "log_first_instant": record(time_ns=0),
    "log_last_instant": record(time_ns=LATEST_NS),
    **{f"log_{severity}": record(severity=severity) for severity in get_args(Severity)},
}

SAMPLES: Final[Mapping[str, Metric]] = {
    "deploy_events_total": sample(),
    "metric_no_labels": sample(labels={}),
    "metric_unsorted": sample(labels=_UNSORTED),
    "metric_rule_name": sample(name="job:deploys:rate5m", labels={"le": "+Inf"}),
    "metric_empty_value": sample(labels={"a": "", "b": "1"}),
    "metric_only_empty_values": sample(labels={"a": "", "b": ""}),
    "metric_quotes": sample(labels={"a": 'x"y\\z', "u": "ü€😀"}),
    "metric_newline": sample(labels={"a": 'x"y\\z\nw', "u": "ü€"}),
    "metric_specials": sample(
        labels={"k": "a b,c=d", "path": "C:\\a b", "tail": "x\\ y\\,z", "u": "ü{}#"}
    ),
    "metric_controls": sample(labels={"k": "\r\t\x00\x7f\u2028"}),
    "metric_final_backslash": sample(labels={"path": "C:\\"}),
    "metric_time_label": sample(labels={"time": "noon"}),
    "metric_first_instant": sample(time_ns=0),
    "metric_last_instant": sample(time_ns=LATEST_NS),
    "metric_zero": sample(0.0),
    "metric_negative_zero": sample(-0.0),
    "metric_negative": sample(-1.5),
    "metric_tenth": sample(0.1),
    "metric_sum_of_tenths": sample(0.1 + 0.2),
    "metric_percent": sample(99.60573),
    "metric_hundred": sample(100.0),
    "metric_small": sample(1e-05),
    "metric_last_plain": sample(9_999_999_999_999_998.0),
    "metric_first_exponent": sample(1e16),
    "metric_huge": sample(1e21),
    "metric_smallest": sample(5e-324),
    "metric_largest": sample(1.7976931348623157e308),
}

EVENTS: Final[Mapping[str, Event]] = {**RECORDS, **SAMPLES}
