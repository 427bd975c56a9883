"""The answers of the server, as bytes: a receipt, a preview, or a problem in the form asked for.

It knows neither Falcon nor ASGI, so that middleware, resources and batches answer alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from http import HTTPStatus
from typing import Any, Final, NamedTuple, Protocol
from urllib.parse import parse_qsl

from msgspec import Struct

from sonda.envelope import CODES
from sonda.pipeline.delivery import Delivery
from sonda.pipeline.model import Receipt
from sonda.pipeline.problems import DestinationBusy, Invalid, Malformed, Problem, Refused
from sonda.pipeline.schemas.registry import PLUGINS
from sonda.pipeline.text.compact_json import compact
from sonda.pipeline.values.timestamps import rfc3339
from sonda.pipeline.wire_preview import Preview
from sonda.rejections import (
    Busy,
    BusyBytes,
    Conflict,
    KeyUnstorable,
    MethodNotAllowed,
    NotReady,
    Rejection,
    ShuttingDown,
    Unauthorized,
)
from sonda.statuses import http_status

JSON: Final = "application/json"
PROBLEM_JSON: Final = "application/problem+json"
_DESTINATION: Final = (502, 504)  # what a destination did, so that advisories may explain it
_UNKNOWN: Final = (500, 504)
_REJECTED: Final = 502
_MISTAKES: Final = (400, 422)


class Form(NamedTuple):
    """How a caller wants to be answered: with `receipt=true`, and with problems as RFC 9457.

    The answer to a line of a batch begins with its status, which RFC 9457 would add once more.
    """

    receipt: bool = False
    problem_json: bool = False
    is_line: bool = False


class Answer(Struct, frozen=True):
    """A status, a body in JSON, and headers beside its content type."""

    status: int
    body: bytes
    headers: Mapping[str, str] = {}
    media_type: str = JSON


class Response(Protocol):
    """What an answer is written into: a response of Falcon's."""

    status: Any
    content_type: Any
    data: Any

    def set_headers(self, headers: Any) -> None:
        """Set several headers at once."""


def write(resp: Response, answer: Answer) -> None:
    """Write an answer into a response."""
    resp.status = answer.status
    resp.content_type = answer.media_type
    resp.data = answer.body
    if answer.headers:
        resp.set_headers(dict(answer.headers))


@lru_cache(32)  # of texts that may be as long as a head; most requests have the same
def form_of(query: bytes, accept: bytes) -> Form:
    """Return how a request wants its answer, by its query and its `Accept`, whatever is wrong with it."""
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True) if query else []
    receipt = any(name == "receipt" and text in ("true", "1", "") for name, text in pairs)
    return Form(receipt, _accepts_problem_json(accept.decode("latin-1")))


def _accepts_problem_json(accept: str) -> bool:
    """Return whether the header `Accept` names `application/problem+json` itself (RFC 9110, 12.5.1)."""
    for item in accept.split(","):
        media_type, *parameters = (part.strip().lower() for part in item.split(";"))
        if media_type == PROBLEM_JSON:
            quality = next((p[2:] for p in parameters if p.startswith("q=")), "1")
            return quality.strip("0.") != ""
    return False


def delivered(receipt: Receipt, form: Form) -> Answer:
    """Return the answer 200 to an event that its destination has acknowledged."""
    return Answer(200, receipt.answer(with_receipt=form.receipt))


def previewed(preview: Preview) -> Answer:
    """Return the answer 200 to a dry run: what would have been sent."""
    return Answer(200, compact(preview.answer()) + b"\n")


def failed(problem: Problem | Rejection, form: Form, delivery: Delivery | None = None) -> Answer:
    """Return the answer to a problem; *delivery* is that of the event, once it has a body."""
    status = http_status(problem)
    document: dict[str, object] = {"error": CODES[status], "detail": str(problem)}
    if form.receipt:
        document |= _consequences(problem, status, delivery)
    document |= _problem_details(status, form)
    if status in _DESTINATION and delivery is not None and delivery.validated is not None:
        warnings = delivery.validated.warnings
        document |= {"warnings": warnings} if warnings else {}
    media_type = PROBLEM_JSON if form.problem_json else JSON
    return Answer(status, compact(document) + b"\n", http_headers(problem), media_type)


def refused(status: int, detail: str, form: Form) -> Answer:
    """Return the answer to a request that never came to have an event."""
    document: dict[str, object] = {"error": CODES[status], "detail": detail}
    if form.receipt:
        document |= {"outcome": "not_sent", "resend": "safe"} | _issue(status, detail)
    document |= _problem_details(status, form)
    media_type = PROBLEM_JSON if form.problem_json else JSON
    return Answer(status, compact(document) + b"\n", media_type=media_type)


def _problem_details(status: int, form: Form) -> dict[str, object]:
    """Return what RFC 9457 has beside the detail."""
    if not form.problem_json:
        return {}
    members: dict[str, object] = {"type": "about:blank", "title": HTTPStatus(status).phrase}
    return members if form.is_line else {**members, "status": status}


def _issue(status: int, detail: str) -> dict[str, object]:
    return {"issues": [{"path": "", "reason": detail}]} if status in _MISTAKES else {}


def http_headers(problem: Problem | Rejection) -> Mapping[str, str]:
    """Return the headers that HTTP wants with the status of a problem."""
    match problem:
        case Unauthorized():
            return {"WWW-Authenticate": "Bearer"}
        case MethodNotAllowed(allowed=allowed):
            return {"Allow": allowed}
        case (
            Busy() | BusyBytes() | ShuttingDown() | NotReady() | DestinationBusy() | KeyUnstorable()
        ):
            return {"Retry-After": "1"}
        case Conflict(passes=True):
            return {"Retry-After": "1"}
        case _:
            return {}


def _consequences(
    problem: Problem | Rejection, status: int, delivery: Delivery | None
) -> dict[str, object]:
    """Return what a program may conclude: outcome, timestamp, whether to send again, and issues."""
    facts: dict[str, object] = {"outcome": _outcome(problem)}
    time_ns = None if delivery is None else _time_ns(status, delivery)
    if time_ns is not None:
        facts["timestamp"] = rfc3339(time_ns)
    facts["resend"] = "safe" if resend_is_safe(problem, delivery) else "may_duplicate"
    if isinstance(problem, Malformed | Invalid):
        facts["issues"] = [{"path": one.path, "reason": one.reason} for one in problem.issues]
    else:
        facts |= _issue(status, str(problem))
    return facts


def _outcome(problem: Problem | Rejection) -> str:
    if http_status(problem) in _UNKNOWN:
        return "unknown"
    said_no = isinstance(problem, Refused) or getattr(problem, "after_refusal", False)
    return "rejected" if said_no else "not_sent"


def _time_ns(status: int, delivery: Delivery) -> int | None:
    """Return the event's time: for 4xx and 503 only the one that the client gave."""
    if status in _UNKNOWN or status == _REJECTED:
        return delivery.given_ns or delivery.time_ns or None
    return delivery.given_ns


def resend_is_safe(problem: Problem | Rejection, delivery: Delivery | None) -> bool:
    """Return whether the same event with the same time cannot be stored twice if it is sent again."""
    if _outcome(problem) == "not_sent":
        return True
    validated = None if delivery is None else delivery.validated
    schema: Mapping[str, Any] = (
        {} if validated is None else PLUGINS["sink"].get(validated.sink.name, {})
    )
    if schema.get("x-resend") == "safe":
        return True
    in_doubt = delivery is not None and delivery.may_be_stored
    in_doubt |= getattr(problem, "may_be_stored", False)
    return _outcome(problem) == "rejected" and not in_doubt
