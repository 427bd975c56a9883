"""Answers as bytes: what a problem comes to, what a program may conclude, and which headers go along."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from sonda.http_answers import (
    JSON,
    PROBLEM_JSON,
    Answer,
    Form,
    failed,
    form_of,
    http_headers,
    refused,
    resend_is_safe,
    write,
)
from sonda.pipeline.delivery import Delivery
from sonda.pipeline.model import PluginRef, ValidatedEvent
from sonda.pipeline.problems import (
    DestinationBusy,
    Invalid,
    OutcomeUnknown,
    Problem,
    Refused,
    Unreachable,
    ValidationIssue,
)
from sonda.rejections import (
    Bug,
    Busy,
    Conflict,
    KeyUnstorable,
    MethodNotAllowed,
    NotFound,
    NotReady,
    Rejection,
    ShuttingDown,
    Unauthorized,
)
from tests.support.events import record

RECEIPT: Final = Form(receipt=True)
UNREACHABLE: Final = Unreachable("TCP connect to a:1", "Connection refused")
INVALID: Final = Invalid((ValidationIssue("log.severity", "unknown variant 'x'"),))


def document(problem: Problem | Rejection, form: Form, delivery: Delivery | None = None) -> Any:
    return json.loads(failed(problem, form, delivery).body)


def delivery_to(sink: str, *, warnings: tuple[str, ...] = ()) -> Delivery:
    """Return the delivery of an event that has been validated."""
    plugins = PluginRef("json_lines", None, None, ""), PluginRef(sink, None, None, "")
    return Delivery(validated=ValidatedEvent(record(time_ns=1), *plugins, warnings))


@pytest.mark.parametrize(
    ("query", "receipt"),
    [
        (b"", False),
        (b"receipt", True),
        (b"receipt=1", True),
        (b"receipt=true&receipt=false", True),
        (b"receipt=True", False),
        (b"receipt=0", False),
        (b"reception=true", False),
        (b"x=%ff&receipt=true", True),
    ],
)
def test_a_query_asks_for_a_receipt(query: bytes, receipt: bool) -> None:
    """By any yes, whatever else is wrong with it: errors, too, are answered in the form asked for."""
    assert form_of(query, b"").receipt is receipt


@pytest.mark.parametrize(
    ("accept", "accepted"),
    [
        (b"", False),
        (b"*/*", False),
        (b"application/json", False),
        (b"application/problem+json", True),
        (b"text/html, Application/Problem+JSON ; charset=x", True),
        (b"application/problem+json;q=0.5", True),
        (b"application/problem+json;q=0", False),
        (b"application/problem+json; q=0.000", False),
        (b"application/problem+json-seq", False),
        (b"\xff", False),
    ],
)
def test_problem_details_must_be_named(accept: bytes, accepted: bool) -> None:
    """A wildcard does not ask for them, and a quality of 0 refuses them (RFC 9110, 12.4.2)."""
    assert form_of(b"", accept).problem_json is accepted


def test_a_failure_has_two_members_and_a_line_feed() -> None:
    """Unless more is asked for."""
    answer = failed(UNREACHABLE, Form())
    expected = (
        b'{"error":"bad_gateway","detail":"sink error: TCP connect to a:1: Connection refused"}\n'
    )
    assert answer == Answer(502, expected)


def test_problem_details() -> None:
    """The members of RFC 9457 beside ours; the answer of a line has its status elsewhere."""
    answer = failed(NotFound("/x"), Form(problem_json=True))
    assert (answer.status, answer.media_type) == (404, PROBLEM_JSON)
    found = json.loads(answer.body)
    assert list(found) == ["error", "detail", "type", "title", "status"]
    assert (found["type"], found["title"], found["status"]) == ("about:blank", "Not Found", 404)
    assert "status" not in document(NotFound("/x"), Form(problem_json=True, is_line=True))


@pytest.mark.parametrize(
    ("problem", "outcome", "resend"),
    [
        (NotFound("/x"), "not_sent", "safe"),
        (INVALID, "not_sent", "safe"),
        (UNREACHABLE, "not_sent", "safe"),
        (Unreachable("s", "r", after_refusal=True), "rejected", "safe"),
        (
            Unreachable("s", "r", after_refusal=True, may_be_stored=True),
            "rejected",
            "may_duplicate",
        ),
        (Refused("t", "400"), "rejected", "safe"),
        (Refused("t", "500", may_be_stored=True), "rejected", "may_duplicate"),
        (OutcomeUnknown("t", "r", 1), "unknown", "may_duplicate"),
        (Bug("ValueError"), "unknown", "may_duplicate"),
        (DestinationBusy("t", 1), "not_sent", "safe"),
    ],
)
def test_what_a_program_may_conclude(
    problem: Problem | Rejection, outcome: str, resend: str
) -> None:
    """Where the outcome is known to be a no, the same event cannot be there twice."""
    found = document(problem, RECEIPT)
    assert (found["outcome"], found["resend"]) == (outcome, resend)


@pytest.mark.parametrize(
    ("sink", "is_safe"),
    [("loki", True), ("remote_write", True), ("tcp", False), ("no_such", False)],
)
def test_some_sinks_keep_an_event_once(sink: str, is_safe: bool) -> None:
    """The sink's schema says so: a second one with the same time is the same event there."""
    assert resend_is_safe(OutcomeUnknown("t", "r", 1), delivery_to(sink)) is is_safe


def test_a_try_before_may_have_stored_it() -> None:
    """Of several tries the worst counts."""
    delivery = delivery_to("tcp")
    assert resend_is_safe(Refused("t", "400"), delivery)
    delivery.may_be_stored = True
    assert not resend_is_safe(Refused("t", "400"), delivery)
    assert resend_is_safe(UNREACHABLE, delivery)


def test_the_issues_of_a_mistake() -> None:
    """One for each; a mistake without a field has one for the whole."""
    assert document(INVALID, RECEIPT)["issues"] == [
        {"path": "log.severity", "reason": "unknown variant 'x'"}
    ]
    whole = json.loads(refused(400, "not JSON", RECEIPT).body)
    assert whole["issues"] == [{"path": "", "reason": "not JSON"}]
    assert "issues" not in document(UNREACHABLE, RECEIPT)
    assert "issues" not in json.loads(refused(404, "no such run", RECEIPT).body)


@pytest.mark.parametrize(
    ("problem", "time_ns", "given_ns", "expected"),
    [
        (UNREACHABLE, 5, None, "1970-01-01T00:00:00.000000005Z"),
        (UNREACHABLE, 5, 7, "1970-01-01T00:00:00.000000007Z"),
        (UNREACHABLE, 0, None, None),
        (INVALID, 5, None, None),
        (INVALID, 5, 7, "1970-01-01T00:00:00.000000007Z"),
        (DestinationBusy("t", 1), 5, None, None),
    ],
)
def test_the_timestamp_of_an_event_that_failed(
    problem: Problem, time_ns: int, given_ns: int | None, expected: str | None
) -> None:
    """For 4xx and 503 only the one that the client gave: nothing was sent with ours."""
    delivery = Delivery()
    delivery.time_ns, delivery.given_ns = time_ns, given_ns
    assert document(problem, RECEIPT, delivery).get("timestamp") == expected


def test_warnings_come_last_and_with_what_a_destination_did() -> None:
    """That is when they help most; a mistake of the client's has none."""
    delivery = delivery_to("tcp", warnings=("w",))
    found = document(UNREACHABLE, RECEIPT, delivery)
    assert (list(found)[-1], found["warnings"]) == ("warnings", ["w"])
    assert "warnings" not in document(INVALID, RECEIPT, delivery)
    assert "warnings" not in document(UNREACHABLE, RECEIPT, delivery_to("tcp"))


@pytest.mark.parametrize(
    ("problem", "headers"),
    [
        (Unauthorized("x"), {"WWW-Authenticate": "Bearer"}),
        (MethodNotAllowed("PUT", "/x", "GET, HEAD"), {"Allow": "GET, HEAD"}),
        *((one, {"Retry-After": "1"}) for one in (Busy(1), ShuttingDown(), NotReady())),
        (DestinationBusy("t", 1), {"Retry-After": "1"}),
        (KeyUnstorable("x"), {"Retry-After": "1"}),
        (Conflict("x", passes=True), {"Retry-After": "1"}),
        (Conflict("x"), {}),
        (UNREACHABLE, {}),
    ],
)
def test_headers_go_with_a_status(problem: Problem | Rejection, headers: dict[str, str]) -> None:
    """What passes by itself says when to come again."""
    assert http_headers(problem) == headers


class FakeResponse:
    """A response that remembers what was written into it."""

    status: Any = None
    content_type: Any = None
    data: Any = None

    def __init__(self) -> None:
        self.headers: list[Any] = []

    def set_headers(self, headers: Any) -> None:
        self.headers.append(headers)


@pytest.mark.parametrize("headers", [{}, {"Allow": "GET"}])
def test_an_answer_is_written(headers: dict[str, str]) -> None:
    """Status, type, body, and headers where there are any."""
    response = FakeResponse()
    write(response, Answer(405, b"{}", headers))
    assert (response.status, response.content_type, response.data) == (405, JSON, b"{}")
    assert response.headers == ([headers] if headers else [])
