"""What an answer's content is once its coding is undone, and how it is read as text."""

from __future__ import annotations

import gzip
import zlib
from functools import partial
from typing import Final

import httpx
import pytest

from sonda.pipeline.net.http_content import Content, decode, text_of

WORDS: Final = b'{"error":"too many requests"}'
pack = partial(gzip.compress, mtime=0)  # the same bytes, and names of tests, in every process
RAW: Final = zlib.compress(WORDS)[2:-4]
BOMB: Final = pack(b"x" * 10_000_000)
LIMIT: Final = 1000


@pytest.mark.parametrize(
    ("coding", "body", "expected"),
    [
        ("", WORDS, Content(WORDS, whole=True)),
        ("identity", WORDS, Content(WORDS, whole=True)),
        ("gzip", pack(WORDS), Content(WORDS, whole=True)),
        ("GZIP", pack(WORDS), Content(WORDS, whole=True)),
        ("x-gzip", pack(WORDS), Content(WORDS, whole=True)),
        ("gzip", pack(WORDS) + pack(b"!"), Content(WORDS + b"!", whole=True)),
        ("deflate", zlib.compress(WORDS), Content(WORDS, whole=True)),
        ("deflate", RAW, Content(WORDS, whole=True)),
        ("deflate, gzip", pack(zlib.compress(WORDS)), Content(WORDS, whole=True)),
        ("gzip", b"", Content(b"", whole=True)),
        ("gzip", pack(WORDS)[:-8], Content(WORDS, whole=False)),
        ("gzip", pack(WORDS)[:4], Content(b"", whole=False)),
        ("gzip", b"\x1f\x8bgarbage", Content(b"", whole=False)),
        ("gzip", WORDS, Content(WORDS, whole=False)),  # the coding was a lie
        ("gzip", BOMB, Content(b"x" * LIMIT, whole=False)),
        ("gzip, gzip", pack(BOMB), Content(b"", whole=False)),
        ("", b"x" * LIMIT, Content(b"x" * LIMIT, whole=True)),
        ("", b"x" * (LIMIT + 1), Content(b"x" * LIMIT, whole=False)),
        ("br", WORDS, None),
        ("gzip, br", WORDS, None),
        (", ".join(["gzip"] * 5), WORDS, None),
    ],
)
def test_decode(coding: str, body: bytes, expected: Content | None) -> None:
    """Codings are undone in their order, never beyond the bound; what is torn is known as such."""
    headers = httpx.Headers({"Content-Encoding": coding} if coding else {})
    decoded = decode(body, headers, LIMIT)
    if expected is not None and expected.body == b"" and not expected.whole:
        assert decoded is not None
        assert not decoded.whole
        return
    assert decoded == expected


@pytest.mark.parametrize(
    ("content_type", "body", "expected"),
    [
        ("", "naïve €".encode(), "naïve €"),
        ("text/plain", b"\xff", "\ufffd"),
        ("text/pl\xe4in; charset=iso-8859-1\xff", b"no", "no"),
        ("text/plain; charset=ISO-8859-1", "naïve".encode("latin-1"), "naïve"),
        ('text/plain; charset="windows-1252"', b"\x80", "€"),
        ("text/html;charset=Shift_JIS", "日本".encode("shift_jis"), "日本"),
        ("text/plain; charset=utf-16", "no".encode("utf-16"), "no"),
        ("text/plain; charset=no-such", "é".encode(), "é"),
        ("text/plain; charset=unicode_escape", rb"\x41", r"\x41"),
        ("text/plain; charset=punycode", b"a-b", "a-b"),
        ("text/plain; charset=rot13", b"no", "no"),
        ("text/plain; charset=hex", b"no", "no"),
    ],
)
def test_text(content_type: str, body: bytes, expected: str) -> None:
    """The charset is the content type's where it is one, else UTF-8."""
    headers = httpx.Headers([(b"Content-Type", content_type.encode("latin-1"))])
    assert text_of(body, headers) == expected


def _status(*fields: tuple[int, bytes]) -> bytes:
    return b"".join(bytes([number << 3 | 2, len(text)]) + text for number, text in fields)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"\x08\x03" + _status((2, "größe".encode())), "größe"),
        (_status((2, b"no"), (3, b"detail")), "no"),
        (b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01" + _status((2, b"no")), "no"),
        (_status((2, b"")), ""),
        (_status((2, b"\xff")), "\ufffd"),
        (b"\x08\x03", "\b\x03"),
        (b"not protobuf", "not protobuf"),
        (_status((2, b"cut"))[:-1], "\x12\x03cu"),
        (_status((2, b"no")) + b"\x08\x80", "\x12\x02no\b\ufffd"),
        (b"", ""),
    ],
)
@pytest.mark.parametrize("media_type", ["application/x-protobuf", "Application/Protobuf; a=b"])
def test_the_words_of_an_otlp_receiver(media_type: str, body: bytes, expected: str) -> None:
    """A `Status` says what its message says; other bytes are quoted as they are."""
    assert text_of(body, httpx.Headers({"Content-Type": media_type})) == expected


def test_a_byte_order_mark_is_none_of_the_words() -> None:
    """Servers of some frameworks begin every text with one."""
    assert text_of(b"\xef\xbb\xbfno", httpx.Headers()) == "no"
