"""Stage 1: what is a JSON object, and what is refused before anyone looks inside."""

from __future__ import annotations

import gc

import pytest
from returns.result import Failure, Success

from sonda.pipeline.problems import Malformed, NotJson, ValidationIssue
from sonda.pipeline.stages.parse import parse
from tests.support.bodies import LOG, raw


def test_an_object_is_read() -> None:
    """A JSON object comes out as it went in."""
    assert parse(raw(LOG)) == Success(LOG)


@pytest.mark.parametrize(
    ("body", "found"),
    [(b"[]", "an array"), (b'"a"', "a string"), (b"1", "a number"), (b"null", "null")],
)
def test_no_object(body: bytes, found: str) -> None:
    """JSON that is no object is malformed, and the problem says what it is."""
    assert parse(body) == Failure(
        Malformed((ValidationIssue("", f"expected an object, got {found}"),))
    )


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "Expecting value: line 1 column 1 (char 0) (the body is empty)"),
        (b" \r\n", "Expecting value: line 2 column 1 (char 3) (the body is empty)"),
        (
            b"\xef\xbb\xbf{}",
            "Expecting value: line 1 column 1 (char 0) (the body starts with a byte order mark)",
        ),
        (b"{", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        (b'{"a":NaN}', "NaN is not a JSON number"),
        (b'{"a":-Infinity}', "-Infinity is not a JSON number"),
        (b'{"a":1E+400}', "a number is out of the range of a double"),
        (b'{"a":' + b"9" * 250 + b"e99}", "a number is out of the range of a double"),
        (b'{"a":1e400}', "a number is out of the range of a double"),
        (b'{"a":-1e400}', "a number is out of the range of a double"),
        (b'{"a":' + b"9" * 400 + b"}", "a number is out of the range of a double"),
        (b'{"a":-' + b"9" * 10_000 + b"}", "a number is out of the range of a double"),
        (b'{"a":1,"b":2,"a":3}', "the name 'a' stands twice in one object"),
        (b'{"a":{"x\\n":1,"x\\n":1}}', r"the name 'x\n' stands twice in one object"),
        (b'{"a":"\xff"}', "it is not UTF-8 at byte 6"),
        (b'{"a":"\\ud800"}', "it holds a lone surrogate, which no UTF-8 text can carry"),
        (b'{"\\uDFFF":1}', "it holds a lone surrogate, which no UTF-8 text can carry"),
        (b'{"a":' + b"[" * 100_000, "it is nested too deeply"),
        (b'{"a":' * 100_000, "it is nested too deeply"),
    ],
)
def test_not_json(body: bytes, reason: str) -> None:
    """What JSON does not allow, or UTF-8 cannot carry, is refused with the reason."""
    assert parse(body) == Failure(NotJson(reason))


def test_a_byte_order_mark_is_refused() -> None:
    """A BOM is no white space."""
    assert isinstance(parse(b"\xef\xbb\xbf{}").failure(), NotJson)


def test_a_pair_of_surrogates_is_a_character() -> None:
    """An escaped pair is the character that it stands for."""
    assert parse(b'{"a":"\\ud83d\\ude00"}') == Success({"a": "\U0001f600"})


def test_the_largest_double_is_read() -> None:
    """309 digits may still be a double."""
    digits = str(int(1.7976931348623157e308)).encode()
    assert parse(b'{"a":' + digits + b"}") == Success({"a": int(digits)})


def test_a_negative_zero_keeps_its_sign() -> None:
    """`-0` is a double that an integer cannot be."""
    assert str(parse(b'{"a":-0}').unwrap()["a"]) == "-0.0"


@pytest.mark.parametrize(
    ("body", "remedy"),
    [
        (b'{"a":1,}', "(a comma before the closing bracket)"),
        (b'{"a":[1, 2 ,\n]}', "(a comma before the closing bracket)"),
        (b'{"a":{"b":1,\t}}', "(a comma before the closing bracket)"),
        (b"{'a':1}", "(JSON takes double quotes)"),
        (b"{\"a\": 'x'}", "(JSON takes double quotes)"),
    ],
)
def test_a_small_slip_is_answered_with_its_remedy(body: bytes, remedy: str) -> None:
    """The reason ends with what to mend, in brackets."""
    problem = parse(body).failure()
    assert isinstance(problem, NotJson)
    assert problem.reason.endswith(f") {remedy}")


def test_many_containers_leave_the_collector_as_it_was() -> None:
    """Decoding half a million containers pauses the garbage collector, and no longer than that."""
    body = b'{"a":[' + b"[]," * 20_000 + b"[]]}"
    assert len(parse(body).unwrap()["a"]) == 20_001
    assert gc.isenabled()
