"""Prometheus is asked for one millisecond of one series."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sonda.pipeline.verify.judging import NOT_SEEN, SEEN, Different, QueryRefused
from sonda.pipeline.verify.remote_write import ask, judge, query_base

TIME_NS = 1_700_000_000_023_999_999
LABELS = {"job": "deploy", "empty": ""}
URL = "http://prometheus:9090/api/v1/write"


def answer(*series: tuple[dict[str, str], list[tuple[float, str]]]) -> bytes:
    """Write an answer of `query` to a range selector."""
    result: list[Any] = [{"metric": labels, "values": values} for labels, values in series]
    return json.dumps({"data": {"resultType": "matrix", "result": result}}).encode()


def judged(*series: tuple[dict[str, str], list[tuple[float, str]]], value: float = 1.5) -> object:
    """Judge an answer."""
    return judge(200, answer(*series), LABELS, "m", TIME_NS, value)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        (URL, "/"),
        ("http://vm:8428/insert/0/prometheus/api/v1/write?x=y", "/insert/0/prometheus?x=y"),
        ("http://vm:8428/api/v1/write/", "/"),
        ("http://vm:8428/api/v1/push", None),
        ("http://vm:8428", None),
    ],
)
def test_the_base_is_the_url_less_its_end(url: str, path: str | None) -> None:
    """Where the URL ends otherwise there is no base, and the request must say where to ask."""
    base = query_base(url)
    assert (None if base is None else base.raw_path.decode()) == path


def test_the_query_is_for_one_millisecond() -> None:
    """The time is floored to milliseconds, as it was sent, and an empty label is none."""
    params = ask(URL, {}, None, LABELS, "m", TIME_NS).url.params
    assert params["query"] == '{__name__="m",job="deploy"}[1ms]'
    assert params["time"] == "1700000000.023"


def test_a_url_without_a_base_is_a_bug_here() -> None:
    """Validation refuses it."""
    with pytest.raises(ValueError, match=r"verify\.url"):
        ask("http://vm", {}, None, LABELS, "m", TIME_NS)


def test_a_zero_that_has_lost_its_sign_is_another_value() -> None:
    """The two are equal, and not the same: a store that keeps one for the other has changed it."""
    series = {"__name__": "m", "job": "deploy"}
    assert judged((series, [(1700000000.023, "-0")]), value=-0.0) is SEEN
    assert judged((series, [(1700000000.023, "0")]), value=-0.0) == Different("-0.0", "0.0")
    assert judged((series, [(1700000000.023, "-0")]), value=0.0) == Different("0.0", "-0.0")


def test_the_sample_is_seen() -> None:
    """Its series, its millisecond, its value."""
    assert judged(({"__name__": "m", "job": "deploy"}, [(1700000000.023, "1.5")])) is SEEN


@pytest.mark.parametrize(
    "series",
    [
        ({"__name__": "m", "job": "deploy", "host": "a"}, [(1700000000.023, "1.5")]),
        ({"__name__": "m"}, [(1700000000.023, "1.5")]),
        ({"__name__": "n", "job": "deploy"}, [(1700000000.023, "1.5")]),
        ({"__name__": "m", "job": "deploy"}, [(1700000000.022, "1.5")]),
    ],
)
def test_another_sample_is_not_it(series: tuple[dict[str, str], list[tuple[float, str]]]) -> None:
    """More labels, fewer, another name, an equal value at another time."""
    assert judged(series) == NOT_SEEN


def test_a_rounded_value_is_quoted_beside_the_one_that_was_sent() -> None:
    """VictoriaMetrics keeps 12 to 15 digits."""
    series = ({"__name__": "m", "job": "deploy"}, [(1700000000.023, "0.333333333333")])
    verdict = judged(series, value=1 / 3)
    assert verdict == Different("0.3333333333333333", "0.333333333333")


@pytest.mark.parametrize("value", [1e300, 5e-324, 123456789012345678.0, -0.0])
def test_any_double_comes_back_as_itself(value: float) -> None:
    """The text of the answer is read as a double."""
    series = ({"__name__": "m", "job": "deploy"}, [(1700000000.023, repr(value))])
    assert judged(series, value=value) is SEEN


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"data":{"result":[{"metric":{"__name__":"m","job":"deploy"}}]}}']
)
def test_what_is_no_answer_is_a_refusal(body: bytes) -> None:
    """The next query may be answered."""
    verdict = judge(200, body, LABELS, "m", TIME_NS, 1.5)
    assert isinstance(verdict, QueryRefused)
    assert not verdict.is_final
