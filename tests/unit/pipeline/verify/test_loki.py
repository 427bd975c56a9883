"""Loki is asked for one nanosecond, and only the event itself is taken for it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sonda.pipeline.verify.judging import NOT_SEEN, SEEN, Different, QueryRefused
from sonda.pipeline.verify.loki import ask, judge

TIME_NS = 1_700_000_000_123_456_789
LABELS = {"app": "web"}
LINE = '{"message":"hi"}'


def answer(*streams: tuple[dict[str, str], list[tuple[int, str]]]) -> bytes:
    """Write an answer of `query_range`."""
    result: list[dict[str, Any]] = [
        {"stream": labels, "values": [[str(time_ns), line, {}] for time_ns, line in values]}
        for labels, values in streams
    ]
    return json.dumps({"status": "success", "data": {"result": result}}).encode()


@pytest.mark.parametrize(
    ("url", "base", "path"),
    [
        ("http://loki:3100", None, "/loki/api/v1/query_range"),
        ("http://loki:3100/", None, "/loki/api/v1/query_range"),
        ("http://loki:3100/a%2Fb/", None, "/a%2Fb/loki/api/v1/query_range"),
        ("http://loki:3100/loki/api/v1/push", None, "/loki/api/v1/query_range"),
        ("http://loki:3100", "http://other/x", "/x/loki/api/v1/query_range"),
    ],
)
def test_the_query_goes_to_the_base(url: str, base: str | None, path: str) -> None:
    """A URL that is given whole is as good as its base, and `verify.url` replaces it."""
    asked = ask(url, {}, base, LABELS, TIME_NS).url
    assert asked.raw_path.decode().partition("?")[0] == path
    assert dict(asked.params) == {
        "query": '{app="web"}',
        "start": str(TIME_NS),
        "end": str(TIME_NS + 1),
        "limit": "1000",
        "direction": "forward",
    }


def test_the_urls_own_query_is_kept() -> None:
    """What a gateway wants in the query string of the sink's URL it gets here, too."""
    assert ask("http://loki:3100?tenant=a", {}, None, LABELS, TIME_NS).url.params["tenant"] == "a"


@pytest.mark.parametrize(
    ("base", "sent"),
    [
        (None, True),
        ("http://LOKI:3100/other", True),
        ("http://loki:3101", False),
        ("https://loki:3100", False),
        ("http://elsewhere:3100", False),
    ],
)
def test_credentials_stay_with_their_origin(base: str | None, sent: bool) -> None:
    """The sink's headers go to the scheme, host and port that they were given for, nowhere else."""
    query = ask("http://loki:3100", {"Authorization": "Bearer s"}, base, LABELS, TIME_NS)
    assert ("Authorization" in query.headers) is sent


@pytest.mark.parametrize("labels", [{}, {"empty": ""}])
def test_no_labels_are_asked_for_as_loki_files_them(labels: dict[str, str]) -> None:
    """An empty label is none, and a stream without any is `unknown_service`."""
    assert ask("http://l", {}, None, labels, TIME_NS).url.params["query"] == (
        '{service_name="unknown_service"}'
    )
    stream = ({"service_name": "unknown_service"}, [(TIME_NS, LINE)])
    assert judge(200, answer(stream), labels, TIME_NS, LINE) is SEEN


def test_values_are_quoted() -> None:
    """LogQL reads Go's escapes."""
    query = ask("http://l", {}, None, {"a": 'q"\\\nü'}, TIME_NS).url.params["query"]
    assert query == '{a="q\\"\\\\\\nü"}'


def test_the_event_is_seen() -> None:
    """Its labels, with those that Loki adds, its very time and its very line."""
    added = {**LABELS, "service_name": "web", "detected_level": "info"}
    assert judge(200, answer((added, [(TIME_NS, LINE)])), LABELS, TIME_NS, LINE) is SEEN


@pytest.mark.parametrize(
    "stream",
    [
        ({"app": "web", "env": "prod"}, [(TIME_NS, LINE)]),
        ({"app": "other"}, [(TIME_NS, LINE)]),
        ({"app": "web"}, [(TIME_NS + 1, LINE)]),
        ({"app": "web"}, []),
    ],
)
def test_another_event_is_not_it(stream: tuple[dict[str, str], list[tuple[int, str]]]) -> None:
    """More labels, other labels, an equal line at another time: none of these is the event."""
    assert judge(200, answer(stream), LABELS, TIME_NS, LINE) == NOT_SEEN


def test_a_label_that_loki_also_adds_is_compared_where_the_event_has_it() -> None:
    """`service_name` of the event's own must be there with its value."""
    labels = {"service_name": "mine"}
    theirs = answer(({"service_name": "theirs"}, [(TIME_NS, LINE)]))
    assert judge(200, theirs, labels, TIME_NS, LINE) == NOT_SEEN


def test_another_line_at_its_time_is_quoted() -> None:
    """Both lines are in the verdict."""
    verdict = judge(200, answer((LABELS, [(TIME_NS, "other")])), LABELS, TIME_NS, LINE)
    assert verdict == Different(LINE, "other")
    assert str(verdict) == r'found "other" at its time, expected "{\"message\":\"hi\"}"'


def test_a_neighbour_at_its_time_hides_nothing() -> None:
    """Loki keeps two lines of one nanosecond: the event is among them."""
    both = answer((LABELS, [(TIME_NS, "other"), (TIME_NS, LINE)]))
    assert judge(200, both, LABELS, TIME_NS, LINE) is SEEN


@pytest.mark.parametrize(
    ("status", "body", "is_final"),
    [
        (401, b"no org id", True),
        (404, b"", True),
        (429, b"slow down", False),
        (503, b"starting", False),
        (200, b"<html>", False),
        (200, b"{}", False),
        (200, b'{"data":{"result":[1]}}', False),
        (200, b'{"data":{"result":[{"stream":{"app":"web"},"values":[[1]]}]}}', False),
    ],
)
def test_what_is_no_answer_is_a_refusal(status: int, body: bytes, is_final: bool) -> None:
    """A refused query is quoted; one that any other would meet alike ends the asking."""
    verdict = judge(status, body, LABELS, TIME_NS, LINE)
    assert isinstance(verdict, QueryRefused)
    assert verdict.is_final is is_final
    assert str(status) in str(verdict)
