"""One answer, put together from lists of bytes: what is read, what is not, and what is kept."""

from __future__ import annotations

from itertools import pairwise
from typing import Final, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonda.pipeline.net.http1_response import ANSWER_BYTES, Answer, BadAnswer

END: Final = b""
"""The end of the stream, in a list of what comes."""


class Read(NamedTuple):
    """What is known of an answer once it is complete."""

    status: int
    body: bytes
    may_go_on: bool = True
    whole: bool = True


def read(*parts: bytes, body_bytes: int = ANSWER_BYTES) -> Answer:
    answer = Answer(body_bytes)
    for part in parts:
        assert not answer.complete
        answer.feed(part)
    assert answer.complete
    return answer


def facts(answer: Answer) -> Read:
    return Read(answer.status, bytes(answer.body), answer.may_go_on, answer.whole)


CHUNKED: Final = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

FLAWLESS: Final = {
    "length": (b"HTTP/1.1 400 Bad\r\nContent-Length: 2\r\n\r\nno", Read(400, b"no")),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", Read(204, b"")),
    "no phrase": (b"HTTP/1.1 204\r\n\r\n", Read(204, b"")),
    "no phrase but a blank": (b"HTTP/1.1 204 \r\n\r\n", Read(204, b"")),
    "204 with a length": (b"HTTP/1.1 204 N\r\nContent-Length: 9\r\n\r\n", Read(204, b"")),
    "not modified": (b"HTTP/1.1 304 N\r\nContent-Length: 9\r\n\r\n", Read(304, b"")),
    "chunked": (CHUNKED + b"2\r\nno\r\n3\r\nway\r\n0\r\n\r\n", Read(200, b"noway")),
    "chunk extension": (CHUNKED + b'2;a="b"\r\nno\r\n0\r\n\r\n', Read(200, b"no")),
    "leading zeros": (CHUNKED + b"0002\r\nno\r\n000\r\n\r\n", Read(200, b"no")),
    "many leading zeros": (CHUNKED + b"0" * 40 + b"2\r\nno\r\n0\r\n\r\n", Read(200, b"no")),
    "length with leading zeros": (
        b"HTTP/1.1 400 Bad\r\nContent-Length: %b2\r\n\r\nno" % (b"0" * 5000),
        Read(400, b"no"),
    ),
    "length of zeros": (b"HTTP/1.1 200 OK\r\nContent-Length: 000\r\n\r\n", Read(200, b"")),
    "capital digits": (CHUNKED + b"A\r\n0123456789\r\n0\r\n\r\n", Read(200, b"0123456789")),
    "trailer": (CHUNKED + b"0\r\nX-Sum: 1\r\nX-More: 2\r\n\r\n", Read(200, b"")),
    "interim": (
        (
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\n"
            b"HTTP/1.1 204 No Content\r\n\r\n"
        ),
        Read(204, b""),
    ),
    "any status": (b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n", Read(999, b"")),
    "kept 1.0": (
        b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 1\r\n\r\nx",
        Read(200, b"x"),
    ),
}

NOT_KEPT: Final = {
    "1.0": b"HTTP/1.0 400 Bad\r\nContent-Length: 2\r\n\r\nno",
    "close": b"HTTP/1.1 400 Bad\r\nConnection: x, Close\r\nContent-Length: 2\r\n\r\nno",
    "more than was asked for": b"HTTP/1.1 400 Bad\r\nContent-Length: 2\r\n\r\nnoHTTP/1.1 200 OK\r\n",
    "obs-fold": b"HTTP/1.1 400 Bad\r\nX-Why: a\r\n  long\r\n\tstory\r\nContent-Length: 2\r\n\r\nno",
    "obs-fold of the length": b"HTTP/1.1 400 Bad\r\nContent-Length:\r\n 2\r\n\r\nno",
    "a blank line's worth before the fields": (
        b"HTTP/1.1 400 Bad\r\n X: ignored\r\nContent-Length: 2\r\n\r\nno"
    ),
    "coding and length": (
        b"HTTP/1.1 400 Bad\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"2\r\nno\r\n0\r\n\r\n"
    ),
    "coding and a bad length": (
        b"HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\nContent-Length: x\r\n\r\n"
        b"2\r\nno\r\n0\r\n\r\n"
    ),
    "coding in 1.0": (
        b"HTTP/1.0 400 Bad\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"2\r\nno\r\n0\r\n\r\n"
    ),
    "coding twice": (
        b"HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: Chunked\r\n\r\n"
        b"2\r\nno\r\n0\r\n\r\n"
    ),
    "no coding at all": (
        b"HTTP/1.1 400 Bad\r\nTransfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nno"
    ),
    "equal lengths": b"HTTP/1.1 400 Bad\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nno",
    "equal lengths in one field": b"HTTP/1.1 400 Bad\r\nContent-Length: 2, 2\r\n\r\nno",
    "bare LF": b"HTTP/1.1 400 Bad\nContent-Length: 2\n\nno",
    "bare LF once": b"HTTP/1.1 400 Bad\r\nX: y\nContent-Length: 2\r\n\r\nno",
    "bare LF at the head's end": b"HTTP/1.1 400 Bad\r\nContent-Length: 2\r\n\nno",
    "bare LF in chunks": (b"HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\n\r\n2\nno\n0\n\n"),
    "blank before the colon": b"HTTP/1.1 400 Bad\r\nContent-Length \t: 2\r\n\r\nno",
    "padded chunk size": (
        b"HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\n\r\n2   \r\nno\r\n0  \r\n\r\n"
    ),
    "chunk size padded on the left": (
        b"HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\n\r\n  2\r\nno\r\n 0\r\n\r\n"
    ),
    "two blanks in the status line": b"HTTP/1.1  400  Bad\r\nContent-Length: 2\r\n\r\nno",
    "a name that is none": b"HTTP/1.1 400 Bad\r\nX Y: z\r\n: z\r\nContent-Length: 2\r\n\r\nno",
    **{
        f"control character {code:02x}": (
            b"HTTP/1.1 400 Bad\r\nX-Why: a%cb\r\nContent-Length: 2\r\n\r\nno" % code
        )
        for code in (*range(9), *range(11, 32), 127)
    },
}


def splits(answer: bytes) -> list[tuple[bytes, ...]]:
    """List the ways in which an answer may come: at once, byte by byte, in two pieces."""
    halves = [(answer[:at], answer[at:]) for at in range(1, len(answer))]
    return [(answer,), tuple(answer[at : at + 1] for at in range(len(answer))), *halves]


@pytest.mark.parametrize("case", FLAWLESS)
def test_an_answer_is_read(case: str) -> None:
    """However it comes in pieces, it is the same answer, and the connection can be kept."""
    answer, expected = FLAWLESS[case]
    for parts in splits(answer):
        assert facts(read(*parts)) == expected, parts


@pytest.mark.parametrize("case", NOT_KEPT)
def test_an_odd_answer_is_read(case: str) -> None:
    """A no is a no, however oddly it is framed; but its connection is not used again."""
    expected = Read(400, b"no", may_go_on=False)
    assert facts(read(NOT_KEPT[case])) == expected
    if case != "more than was asked for":
        for parts in splits(NOT_KEPT[case]):
            assert facts(read(*parts)) == expected, parts


def test_a_body_that_ends_with_the_connection() -> None:
    """Without a length the end of the stream is the end of the body."""
    answer = read(b"HTTP/1.1 400 Bad\r\n\r\nn", b"o", END)
    assert facts(answer) == Read(400, b"no", may_go_on=False)


def test_what_comes_after_an_answer_ends_the_connection() -> None:
    """Bytes that nobody asked for are no part of the answer, and whose they are nobody knows."""
    answer = read(b"HTTP/1.1 204 N\r\n\r\n")
    assert answer.may_go_on
    answer.feed(b"HTTP/1.1 200 OK\r\n\r\n")
    assert facts(answer) == Read(204, b"", may_go_on=False)


def test_fields_are_what_they_mean() -> None:
    """Names as they came; values without blanks around, unfolded, NUL and CR replaced."""
    answer = read(
        b"HTTP/1.1 400 B\x00ad\tday\r\nA:  b \t\r\nC:d\r\n e\r\n \r\nF:g\x00h\x1b\r\nI:\r\n"
        b"Content-Length: 0\r\n\r\n"
    )
    assert answer.phrase == b"B ad\tday"
    fields = [(b"A", b"b"), (b"C", b"d e"), (b"F", b"g h\x1b"), (b"I", b"")]
    assert answer.headers == [*fields, (b"Content-Length", b"0")]


BAD: Final = {
    "nothing": ((END,), "the connection was closed without an answer"),
    "half a status line": ((b"HTTP/1.1 20", END), "the connection was closed without an answer"),
    "half a body": (
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nha", END),
        "the connection was closed in the middle of the answer",
    ),
    "no last chunk": ((CHUNKED + b"2\r\nok\r\n", END), "the connection was closed in the middle"),
    "only interim": (
        (b"HTTP/1.1 100 C\r\n\r\n", END),
        "the connection was closed without an answer",
    ),
    "HTTP/2": ((b"HTTP/2.0 204 No Content\r\n\r\n",), "no answer of HTTP/1.0 or HTTP/1.1"),
    "HTTP/1.2": ((b"HTTP/1.2 204 No Content\r\n\r\n",), "no answer of HTTP/1.0 or HTTP/1.1"),
    "HTTP/0.9": ((b"<html>",), "no answer of HTTP/1.0 or HTTP/1.1"),
    "lower case": ((b"http/1.1 204 No Content\r\n\r\n",), "no answer of HTTP/1.0 or HTTP/1.1"),
    "RTSP": ((b"RTSP/1.0 200 OK\r\n\r\n",), "no answer of HTTP/1.0 or HTTP/1.1"),
    "ICY": ((b"ICY 200 OK\r\n\r\n",), "no answer of HTTP/1.0 or HTTP/1.1"),
    "mail": ((b"2",), "no answer of HTTP/1.0 or HTTP/1.1"),
    "TLS alert": ((b"\x15\x03\x01\x00\x02\x02\x46",), "it answered in TLS: try https://"),
    "four digits": ((b"HTTP/1.1 2000 OK\r\n\r\n",), "no answer of HTTP/1.0 or HTTP/1.1"),
    "two digits": ((b"HTTP/1.1 20 OK\r\n\r\n",), "no answer of HTTP/1.0 or HTTP/1.1"),
    "below 100": ((b"HTTP/1.1 099 Low\r\n\r\n",), "99 is no HTTP status"),
    "switching": ((b"HTTP/1.1 101 S\r\nUpgrade: x\r\n\r\n",), "the protocol was switched"),
    "no colon": ((b"HTTP/1.1 204 N\r\nno colon\r\n\r\n",), "a line of its head is no header field"),
    "two lengths": (
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",),
        "the length of its body cannot be told",
    ),
    **{
        f"length {length.decode()!r}": (
            (b"HTTP/1.1 200 OK\r\nContent-Length: %b\r\n\r\n" % length,),
            "the length of its body cannot be told",
        )
        for length in (b"-1", b"+1", b"1 2", b"0x1", b"", b"1,", b"0x" * 5000)
    },
    "gzip as a transfer coding": (
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",),
        "its transfer coding is none that was asked for",
    ),
    "no chunk size": ((CHUNKED + b"zz\r\n",), "a chunk of its body has no size"),
    "empty chunk size": ((CHUNKED + b"\r\n",), "a chunk of its body has no size"),
    "negative chunk size": ((CHUNKED + b"-1\r\n",), "a chunk of its body has no size"),
    "huge chunk size": ((CHUNKED + b"f" * 17 + b"\r\n",), "a chunk of its body has no size"),
    "longer chunk": ((CHUNKED + b"2\r\nnoo\r\n",), "a chunk of its body does not end"),
    "endless head": ((b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 20_000,), "the head of the answer"),
    "endless line": ((CHUNKED + b"2;" + b"x" * 70_000,), "a line of its body is longer"),
    "endless trailer": ((CHUNKED + b"0\r\n" + b"A: b\r\n" * 20_000,), "its trailer is longer"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_answer(case: str) -> None:
    """It is never taken for one, and the text says what is wrong with it."""
    parts, reason = BAD[case]
    answer = Answer()
    *first, last = parts
    for part in first:
        answer.feed(part)
    with pytest.raises(BadAnswer, match=reason):
        answer.feed(last)
    assert not answer.complete


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: %b\r\n\r\n" % (b"9" * 5000),
        b"HTTP/1.1 200 OK\r\n\r\n",
        CHUNKED + b"3e7\r\n",
    ],
)
@pytest.mark.parametrize("sizes", [(100,), (99, 1), (101,), (500,), (50, 51)])
def test_a_body_is_complete_at_its_bound(head: bytes, sizes: tuple[int, ...]) -> None:
    """What has come up to there is kept; that there is more is known."""
    answer = read(head, *(b"x" * size for size in sizes), body_bytes=100)
    assert facts(answer) == Read(200, b"x" * 100, may_go_on=False, whole=False)


def test_a_body_as_long_as_its_bound_is_whole() -> None:
    """Only more than the bound is too much."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"
    assert facts(read(head + b"x" * 100, body_bytes=100)) == Read(200, b"x" * 100)
    chunks = CHUNKED + b"64\r\n" + b"x" * 100 + b"\r\n0\r\n\r\n"
    assert facts(read(chunks, body_bytes=100)) == Read(200, b"x" * 100)


@given(st.lists(st.binary(max_size=40), max_size=8), st.sampled_from([b"", CHUNKED, b"HTTP/1.1 "]))
def test_any_bytes_are_an_answer_or_none(parts: list[bytes], start: bytes) -> None:
    """Nothing that a peer sends raises anything but `BadAnswer`."""
    answer = Answer()
    try:
        for part in (start or END, *parts):
            answer.feed(part)
    except BadAnswer:
        assert not answer.complete


@given(
    body=st.binary(max_size=200),
    cuts=st.lists(st.integers(0, 200), max_size=6),
    chunked=st.booleans(),
)
def test_a_body_comes_through(body: bytes, cuts: list[int], chunked: bool) -> None:
    """Whatever its bytes, in however many chunks, and however these come in pieces."""
    places = sorted({0, len(body), *(min(cut, len(body)) for cut in cuts)})
    chunks = [body[start:end] for start, end in pairwise(places)]
    framed = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    if chunked:
        framed = CHUNKED + b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in chunks if part)
        framed += b"0\r\n\r\n"
    places = sorted({0, len(framed), *(min(cut, len(framed)) for cut in cuts)})
    parts = [framed[start:end] for start, end in pairwise(places)]
    assert facts(read(*parts)) == Read(200, body)
