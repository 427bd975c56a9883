"""The one place where a failure meets an HTTP status: the server answers with it, the command line too."""

from __future__ import annotations

from typing import assert_never

from sonda.pipeline.problems import (
    DestinationBusy,
    Forbidden,
    Invalid,
    Malformed,
    NotJson,
    OutcomeUnknown,
    Problem,
    Refused,
    Unreachable,
)
from sonda.rejections import (
    Bug,
    Busy,
    BusyBytes,
    Conflict,
    CutOff,
    CutShort,
    ForbiddenHost,
    InvalidKey,
    InvalidParameter,
    KeyMismatch,
    KeyUnstorable,
    MethodNotAllowed,
    NotFound,
    NotReady,
    PayloadTooLarge,
    Rejection,
    RequestTimeout,
    ShuttingDown,
    TooManyEvents,
    TooManyRequests,
    Unauthorized,
    UnknownParameters,
    UnsupportedMediaType,
)


def http_status(problem: Problem | Rejection) -> int:  # noqa: C901, PLR0911, PLR0912  # a table
    """Return the status of a failure."""
    match problem:
        case (
            NotJson()
            | Malformed()
            | CutShort()
            | UnknownParameters()
            | InvalidParameter()
            | InvalidKey()
        ):
            return 400
        case Unauthorized():
            return 401
        case Forbidden() | ForbiddenHost():
            return 403
        case NotFound():
            return 404
        case MethodNotAllowed():
            return 405
        case RequestTimeout():
            return 408
        case Conflict():
            return 409
        case PayloadTooLarge() | TooManyEvents():
            return 413
        case UnsupportedMediaType():
            return 415
        case Invalid() | KeyMismatch():
            return 422
        case TooManyRequests():
            return 429
        case Bug():
            return 500
        case Unreachable() | Refused():
            return 502
        case (
            Busy() | BusyBytes() | ShuttingDown() | NotReady() | DestinationBusy() | KeyUnstorable()
        ):
            return 503
        case OutcomeUnknown() | CutOff():
            return 504
        case _:
            assert_never(problem)
