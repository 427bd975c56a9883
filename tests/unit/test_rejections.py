"""What the shell turns away says what is wrong, which flag helps, and quotes nothing as it is."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any, Final, get_args

import pytest

from sonda import rejections
from sonda.envelope import CODES
from sonda.rejections import ForbiddenHost, MethodNotAllowed, NotFound, Rejection, UnknownParameters
from sonda.statuses import http_status

ALL: Final[tuple[type[Any], ...]] = get_args(Rejection)
EVIL: Final = "\x1b[31m\r\nX: y\u202e" + "z" * 5000


def example(kind: type[Any]) -> Rejection:
    """Return one whose every text is meant to hurt."""
    values: dict[str, Any] = {"str": EVIL, "int": 7, "float": 2.5, "bool": True}
    values["tuple[str, ...]"] = (EVIL,)
    found: Rejection = kind(**{one.name: values[str(one.type)] for one in fields(kind)})
    return found


def test_each_is_one_of_the_union() -> None:
    """A class that the union lacks would have no status, and mypy would not say so."""
    classes = {
        one
        for one in vars(rejections).values()
        if isinstance(one, type) and is_dataclass(one) and one.__module__ == rejections.__name__
    }
    assert classes == {*ALL}


@pytest.mark.parametrize("kind", ALL)
def test_each_has_a_status_and_words(kind: type[Any]) -> None:
    """The status has a code in the contract; equal ones are equal."""
    rejection = example(kind)
    assert http_status(rejection) in CODES
    assert str(rejection)
    assert rejection == example(kind)


@pytest.mark.parametrize(
    "rejection",
    [
        NotFound(EVIL),
        MethodNotAllowed(EVIL, EVIL, "POST"),
        ForbiddenHost(EVIL),
        UnknownParameters((EVIL, EVIL)),
    ],
)
def test_what_a_client_wrote_is_quoted_short_and_printable(rejection: Rejection) -> None:
    """No control character and no change of direction reaches a terminal or a log."""
    text = str(rejection)
    assert text.isprintable()
    assert len(text) < 700


@pytest.mark.parametrize(
    ("rejection", "text"),
    [
        (rejections.Busy(2), "2 requests are in flight (--max-inflight-requests): try again"),
        (rejections.PayloadTooLarge(9), "the body is over 9 bytes (--max-body-bytes)"),
        (
            rejections.PayloadTooLarge(9, "--max-batch-bytes"),
            "the body is over 9 bytes (--max-batch-bytes)",
        ),
        (
            rejections.RequestTimeout(30.0),
            "the body did not arrive within 30s (--request-timeout)",
        ),
        (rejections.Bug("KeyError"), "runtime error: KeyError"),
        (
            MethodNotAllowed("PUT", "/events", "POST"),
            "PUT is not allowed on /events: use POST",
        ),
    ],
)
def test_texts(rejection: Rejection, text: str) -> None:
    """A limit names its flag; a bug names no more than its kind."""
    assert str(rejection) == text
