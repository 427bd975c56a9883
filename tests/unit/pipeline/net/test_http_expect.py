"""What `expect` takes for a yes: values by JSON Pointer, compared by JSON's types."""

from __future__ import annotations

import gzip
import json
from typing import Any, Final

import httpx
import pytest

from sonda.pipeline.net.http_expect import JSON_BYTES, Expect, is_expected, judge_expected
from sonda.pipeline.net.http_verdict import Accepted, HttpAnswer, Rejected, Unreadable, Verdict

BULK: Final = {"took": 30, "errors": True, "items": [{"create": {"status": 400}}], "a/b~": 1}


def judge(expected: Any, body: bytes, *, whole: bool = True, **headers: str) -> Verdict:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = HttpAnswer(200, httpx.Headers(named), body, whole)
    return judge_expected(Expect(json=expected))(answer, 1)


def no(what: str, words: bytes) -> Rejected:
    return Rejected(what, words.decode(), per_event=True, may_be_stored=True)


@pytest.mark.parametrize(
    ("expected", "document"),
    [
        ({"/errors": True}, BULK),
        ({"/items/0/create/status": 400, "/took": 30.0}, BULK),
        ({"/a~1b~0": 1}, BULK),
        ({"": [1, 2.0]}, [1.0, 2]),
        ({"": None}, None),
        ({"/": 1}, {"": 1}),
        ({"/a": {"b": [None, False]}}, {"a": {"b": [None, False]}}),
        ({"/0": "x"}, {"0": "x"}),
    ],
)
def test_a_value_that_is_there(expected: Any, document: Any) -> None:
    """Every pointer leads to its value; an integer is the number that it is."""
    body = json.dumps(document).encode()
    assert judge(expected, body) == Accepted()
    assert judge(expected, gzip.compress(body), content_encoding="gzip") == Accepted()


@pytest.mark.parametrize(
    ("expected", "document", "what"),
    [
        ({"/errors": False}, BULK, "but /errors is true, not false"),
        ({"/errors": 1}, BULK, "but /errors is true, not 1"),
        ({"/took": False}, {"took": 0}, "but /took is 0, not false"),
        ({"/took": None}, {}, "but /took is missing"),
        ({"/took": "30"}, BULK, 'but /took is 30, not "30"'),
        ({"/items/1": {}}, BULK, "but /items/1 is missing"),
        ({"/items/-": {}}, BULK, "but /items/- is missing"),
        ({"/items/00": {}}, BULK, "but /items/00 is missing"),
        ({"/items/²": {}}, BULK, "but /items/² is missing"),
        ({"/items/" + "9" * 5000: {}}, BULK, "but /items/" + "9" * 193 + "… is missing"),
        ({"/a/0": "x"}, {"a": "xyz"}, "but /a/0 is missing"),
        ({"/a": [1]}, {"a": [1, 2]}, "but /a is [1,2], not [1]"),
        ({"/a": {"b": 0}}, {"a": {"b": False}}, 'but /a is {"b":false}, not {"b":0}'),
        ({"": {}}, [], "but the whole body is [], not {}"),
        ({"/a": "x" * 300}, {"a": "y"}, 'but /a is "y", not "' + "x" * 199 + "…"),
        ({"/took": 30, "/errors": False}, BULK, "but /errors is true, not false"),
    ],
)
def test_a_value_that_is_not(expected: Any, document: Any, what: str) -> None:
    """It says what was found instead, and quotes the answer."""
    body = json.dumps(document).encode()
    assert judge(expected, body) == no(what, body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>Please sign in</html>",
        b'{"errors":false',
        b'{"errors":NaN}',
        b'{"errors":true,"errors":false}',
        b'{"errors":' + b"9" * 5000 + b"}",
    ],
)
def test_no_json(body: bytes) -> None:
    """A captive portal's page is a no."""
    assert judge({"/errors": False}, body) == no("but its body is no JSON", body)


def test_deep_json() -> None:
    """Absurd nesting is no JSON, either."""
    verdict = judge({"/errors": False}, b"[" * 100_000)
    assert isinstance(verdict, Rejected)
    assert verdict.what == "but its body is no JSON"


def test_what_is_torn() -> None:
    """What cannot be read whole is no verdict: what is asked for may have stood there."""
    torn = Unreadable("its body cannot be read whole")
    body = b'{"errors":false}'
    packed = gzip.compress(body)
    assert judge({"/errors": False}, body, whole=False) == torn
    assert judge({"/errors": False}, packed[:-4], content_encoding="gzip") == torn
    assert judge({"/errors": False}, packed, content_encoding="br") == torn
    large = b'{"errors":false,"x":"' + b"x" * JSON_BYTES + b'"}'
    assert judge({"/errors": False}, large) == torn
    assert judge({"/errors": False}, gzip.compress(large), content_encoding="gzip") == torn


@pytest.mark.parametrize(
    ("expected", "yes", "nos"),
    [
        (Expect(), (200, 204, 299), (199, 300, 404)),
        (Expect(status=(200,)), (200,), (201, 204, 404)),
        (Expect(status=(202, 409)), (202, 409), (200, 500)),
    ],
)
def test_statuses(expected: Expect, yes: tuple[int, ...], nos: tuple[int, ...]) -> None:
    """Those that are asked for replace a 2xx."""
    assert all(is_expected(expected, status) for status in yes)
    assert not any(is_expected(expected, status) for status in nos)
    assert judge_expected(expected)(HttpAnswer(200, httpx.Headers(), b"<"), 1) == Accepted()
