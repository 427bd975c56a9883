"""From an answer to an outcome: yes, no, or unknown, and in whose words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest
from returns.result import Failure, Success

from sonda.pipeline.delivery import AttemptFailure
from sonda.pipeline.model import Ack, Confirmed
from sonda.pipeline.net.http1_response import Answer
from sonda.pipeline.net.http_endpoint import endpoint, is_2xx
from sonda.pipeline.net.http_outcome import outcome_of
from sonda.pipeline.net.http_verdict import Accepted, HttpAnswer, Rejected, Unreadable, Verdict
from sonda.pipeline.net.retry import Outcome
from sonda.pipeline.problems import OutcomeUnknown, Refused

URL = "http://a.example:3100/push"


def outcome(head: str, body: bytes = b"", **options: Any) -> Outcome:
    """Return the outcome of a request that was answered so."""
    answer = Answer(100_000)
    lines = [*head.split("\n"), f"Content-Length: {len(body)}", "", ""]
    answer.feed("\r\n".join(lines).encode() + body)
    where = endpoint("http_push", URL, httpx.URL(URL), HEADERS, None, is_2xx, **options)
    return outcome_of(where, answer, time_ns=7, count=lambda: 3)


HEADERS = {"Authorization": "Bearer s3cret-token"}


def failure(*args: Any, **options: Any) -> AttemptFailure:
    found = outcome(*args, **options)
    assert isinstance(found, Failure)
    failed: AttemptFailure = found.failure()
    return failed


def test_a_status_is_enough_unless_somebody_reads_further() -> None:
    """Whatever the body says."""
    accepted = Success(Ack(Confirmed.ACCEPTED, status=204))
    assert outcome("HTTP/1.1 204 No Content") == accepted
    assert outcome("HTTP/1.1 299 Whatever", b"no!") == Success(Ack(Confirmed.ACCEPTED, status=299))


def test_a_refusal_is_in_the_destinations_words() -> None:
    """Ours, which it sends back, are not shown."""
    refused = failure("HTTP/1.1 400 Bad Request", b"no Bearer s3cret-token here")
    assert isinstance(refused.problem, Refused)
    assert str(refused.problem) == (
        "sink error: http://a.example:3100/push answered 400 Bad Request: no *** here"
    )
    assert (refused.retryable, refused.per_event) == (False, True)


@pytest.mark.parametrize(
    ("status", "retryable", "per_event", "may_be_stored"),
    [
        (301, False, True, False),
        (400, False, True, False),
        (401, False, False, False),
        (403, False, False, False),
        (404, False, False, False),
        (408, False, True, True),
        (429, True, True, False),
        (500, True, True, True),
        (503, True, True, True),
    ],
)
def test_what_a_status_says(
    status: int, retryable: bool, per_event: bool, may_be_stored: bool
) -> None:
    """Another try may help, one event alone may be meant, or it may have been stored behind it."""
    found = failure(f"HTTP/1.1 {status} X")
    assert isinstance(found.problem, Refused)
    said = (found.retryable, found.per_event, found.problem.may_be_stored)
    assert said == (retryable, per_event, may_be_stored)


def test_a_phrase_that_is_missing_is_the_standards() -> None:
    """So that nobody has to look the number up."""
    assert "answered 502 Bad Gateway" in str(failure("HTTP/1.1 502 ").problem)


@pytest.mark.parametrize(
    ("text", "wait_s"),
    [("7", 7.0), ("0", 0.0), ("-1", None), ("soon", None), ("", None), ("1.5", None), ("٣", None)],
)
def test_retry_after_in_seconds(text: str, wait_s: float | None) -> None:
    """Only digits are a number of seconds; spec: RFC 9110, section 10.2.3."""
    assert failure(f"HTTP/1.1 429 X\nRetry-After: {text}").wait_s == wait_s


def test_retry_after_as_a_date() -> None:
    """One in the past asks for no wait."""
    due = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    wait_s = failure(f"HTTP/1.1 503 X\nRetry-After: {due}").wait_s
    assert wait_s is not None
    assert 0 < wait_s <= 100
    past = "Wed, 21 Oct 2015 07:28:00 GMT"
    assert failure(f"HTTP/1.1 503 X\nRetry-After: {past}").wait_s == 0.0


def test_a_body_that_cannot_be_decoded_is_counted() -> None:
    """Its bytes would be no words."""
    text = str(failure("HTTP/1.1 400 X\nContent-Encoding: br", b"\x01\x02\x03").problem)
    assert text.endswith(": (3 bytes, coded as br)")


def test_a_judge_hears_how_many_events_there_were() -> None:
    """It says what a yes is worth, and its words are shown as the destination's."""
    asked: list[tuple[int, bytes, int]] = []

    def judged(verdict: Verdict) -> Outcome:
        def judge(answer: HttpAnswer, events: int) -> Verdict:
            asked.append((answer.status, answer.body, events))
            return verdict

        return outcome("HTTP/1.1 200 OK", b"{}", judge=judge)

    assert judged(Accepted()) == Success(Ack(Confirmed.ACCEPTED, status=200))
    warned = judged(Accepted("nearly s3cret-token")).unwrap().warnings
    assert warned == (f"{URL} accepted the event and said: nearly ***",)
    rejected = judged(Rejected("but rejected the event", "too old", per_event=True))
    assert str(rejected.failure().problem) == (
        f"sink error: {URL} answered 200 OK, but rejected the event: too old"
    )
    assert rejected.failure().per_event
    unknown = judged(Unreadable("that is no JSON")).failure().problem
    assert unknown == OutcomeUnknown(URL, "(it answered 200 OK, but that is no JSON)", 7)
    assert asked == [(200, b"{}", 3)] * 4
