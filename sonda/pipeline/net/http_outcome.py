"""From an HTTP answer to the outcome of a request: a yes, a refusal, or unknown."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, assert_never

import httpx
from returns.result import Failure, Success

from sonda.pipeline.delivery import AttemptFailure
from sonda.pipeline.model import Ack, Confirmed
from sonda.pipeline.net.http1_response import Answer
from sonda.pipeline.net.http_content import TEXT_BYTES, decode, text_of
from sonda.pipeline.net.http_verdict import (
    Accepted,
    HttpAnswer,
    Rejected,
    Unreadable,
    status_is_enough,
)
from sonda.pipeline.net.retry import Outcome
from sonda.pipeline.problems import OutcomeUnknown, Refused
from sonda.pipeline.text.escape import ANSWER_CHARACTERS, QUOTED_CHARACTERS, excerpt
from sonda.pipeline.text.redact import quote_words, secrets_of_headers, secrets_of_userinfo

if TYPE_CHECKING:
    from sonda.pipeline.net.http_endpoint import Endpoint

_WHATEVER_THE_EVENT: Final = (
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.NOT_FOUND,
)

_MAY_BE_STORED: Final = (HTTPStatus.REQUEST_TIMEOUT, *range(200, 300))


def outcome_of(
    where: Endpoint, answer: Answer, *, time_ns: int, count: Callable[[], int]
) -> Outcome:
    """Return the outcome of a request that was answered; *count* as in `Posting`."""
    status = answer.status
    if where.judge is status_is_enough and where.is_yes(status):
        return Success(Ack(Confirmed.ACCEPTED, status=status))
    headers, body = httpx.Headers(answer.headers), bytes(answer.body)
    if not where.is_yes(status):
        words = _content_words(where, headers, body, whole=answer.whole)
        stored = status in _MAY_BE_STORED or status >= HTTPStatus.INTERNAL_SERVER_ERROR
        refused = Refused(where.posted, _status_line(where, answer), words, stored)
        per_event = status not in _WHATEVER_THE_EVENT
        wait_s = _retry_after_s(headers)
        return Failure(
            AttemptFailure(refused, where.is_retryable(status), wait_s, per_event=per_event)
        )
    verdict = where.judge(HttpAnswer(status, headers, body, answer.whole), count())
    match verdict:
        case Accepted(message):
            if not message:  # as nearly always: there is nothing that secrets could stand in
                return Success(Ack(Confirmed.ACCEPTED, status=status))
            words = own_words(where, message)
            said = f"{where.names.target} accepted the event and said: {words}"
            return Success(Ack(Confirmed.ACCEPTED, status=status, warnings=(said,) * bool(words)))
        case Rejected(what, message, per_event, stored, rejected):
            answered = f"{_status_line(where, answer)}, {own_words(where, what)}"
            refused = Refused(where.posted, answered, own_words(where, message), stored)
            return Failure(AttemptFailure(refused, per_event=per_event, rejected=rejected))
        case Unreadable(why):
            reason = f"(it answered {_status_line(where, answer)}, but {why})"
            return Failure(AttemptFailure(OutcomeUnknown(where.names.target, reason, time_ns)))
        case _:
            assert_never(verdict)


def _status_line(where: Endpoint, answer: Answer) -> str:
    phrase = own_words(where, answer.phrase, QUOTED_CHARACTERS)
    phrase = phrase or httpx.codes.get_reason_phrase(answer.status)
    return f"{answer.status} {phrase}".rstrip()


def _content_words(where: Endpoint, headers: httpx.Headers, body: bytes, *, whole: bool) -> str:
    """Return what a destination says in the body of its answer."""
    content = decode(body, headers, TEXT_BYTES)
    if content is None:
        coding = excerpt(headers.get("content-encoding", ""), QUOTED_CHARACTERS)
        return f"({len(body)} bytes, coded as {coding})"
    is_cut = not whole or len(content.body) >= TEXT_BYTES
    return own_words(where, text_of(content.body, headers), whole=not is_cut)


def own_words(
    where: Endpoint,
    text: bytes | str,
    limit: int = ANSWER_CHARACTERS,
    *,
    whole: bool = True,
) -> str:
    """Return the destination's words without our credentials, which it may have sent back."""
    if isinstance(text, bytes):
        text = text.decode(errors="replace")
    userinfo = where.url.userinfo.decode("ascii")
    secrets = (*secrets_of_headers(where.headers), *secrets_of_userinfo(userinfo))
    return quote_words(text, secrets, limit, whole=whole)


def _retry_after_s(headers: httpx.Headers) -> float | None:
    """Return the wait that `Retry-After` asks for; spec: RFC 9110, section 10.2.3."""
    text = headers.get("retry-after", "")
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        due = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # the latter: a year of more digits than C can count
        return None
    now = datetime.now(UTC)
    return max(0.0, (due.replace(tzinfo=due.tzinfo or UTC) - now).total_seconds())
