"""The HTTP status of each failure: what the server answers, and what the command line's status follows.

Whether an event that nothing was answered to is 502 or 504, `pipeline/unknown_or_unsent.py` decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

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

if TYPE_CHECKING:
    from sonda.rejections import Rejection


def http_status(problem: Problem | Rejection) -> int:
    """Return the status of a failure."""
    match problem:
        case NotJson() | Malformed():
            return 400
        case Forbidden():
            return 403
        case Invalid():
            return 422
        case Unreachable() | Refused():
            return 502
        case DestinationBusy():
            return 503
        case OutcomeUnknown():
            return 504
        case _:
            return _status_of_rejection(problem)


def _status_of_rejection(rejection: Rejection) -> int:  # noqa: C901, PLR0911, PLR0912  # a table
    from sonda import rejections as found  # only a server has any, and a start waits for them

    match rejection:
        case (
            found.CutShort()
            | found.UnknownParameters()
            | found.InvalidParameter()
            | found.InvalidKey()
        ):
            return 400
        case found.Unauthorized():
            return 401
        case found.ForbiddenHost():
            return 403
        case found.NotFound():
            return 404
        case found.MethodNotAllowed():
            return 405
        case found.RequestTimeout():
            return 408
        case found.Conflict():
            return 409
        case found.PayloadTooLarge() | found.TooManyEvents():
            return 413
        case found.UnsupportedMediaType():
            return 415
        case found.KeyMismatch():
            return 422
        case found.TooManyRequests():
            return 429
        case found.Bug():
            return 500
        case (
            found.Busy()
            | found.BusyBytes()
            | found.ShuttingDown()
            | found.NotReady()
            | found.KeyUnstorable()
        ):
            return 503
        case found.CutOff():
            return 504
        case _:
            assert_never(rejection)
