"""The content of an HTTP answer: its coding undone within a bound, and its text by its charset.

Spec: https://www.rfc-editor.org/rfc/rfc9110#section-8.4
"""

from __future__ import annotations

import codecs
import zlib
from typing import Final, NamedTuple

import httpx

TEXT_BYTES: Final = 65536  # of a text that is quoted, once its coding is undone
_GZIP: Final = 31  # zlib's window bits: 15, and a gzip header
_GZIP_MAGIC: Final = b"\x1f\x8b"
_ZLIB: Final = 15
_RAW_DEFLATE: Final = -15
_CODINGS: Final = {"gzip": _GZIP, "x-gzip": _GZIP, "deflate": _ZLIB}
PROTOBUF_TYPES: Final = ("application/x-protobuf", "application/protobuf")
_CODE_KEY: Final = 1 << 3  # of a `Status`: a number, a text, and messages
_MESSAGE_KEY: Final = 2 << 3 | 2
_LENGTH_KEYS: Final = (_MESSAGE_KEY, 3 << 3 | 2)
_VARINT_BYTES: Final = 10
_LAYERS: Final = 4  # of codings on codings
_CHARSETS: Final = frozenset(
    {"ascii", "big5", "cp437", "cp850", "euc_jp", "euc_kr", "gb18030", "gb2312", "gbk"}
    | {"iso2022_jp", "koi8-r", "koi8-u", "shift_jis", "utf-8", "utf-8-sig"}
    | {"utf-16", "utf-16-be", "utf-16-le", "utf-32", "utf-32-be", "utf-32-le"}
    | {f"cp{page}" for page in (866, 874, 932, 949, 950, *range(1250, 1259))}
    | {f"iso8859-{part}" for part in range(1, 17)}
)  # Python has others that are no charsets (`unicode_escape`) or slow (`punycode`)


class Content(NamedTuple):
    """Bytes without their coding; *whole* is false where they are torn or reach the bound."""

    body: bytes
    whole: bool


def media_type(headers: httpx.Headers) -> str:
    """Return the content type without its parameters, in lower case."""
    named: str = headers.get("content-type", "")
    return named.partition(";")[0].strip().lower()


def decode(body: bytes, headers: httpx.Headers, limit: int) -> Content | None:
    """Undo the content codings, at most *limit* bytes of each; `None` if one is not known."""
    named = [coding.strip() for coding in headers.get("content-encoding", "").lower().split(",")]
    codings = [coding for coding in named if coding not in ("", "identity")]
    if len(codings) > _LAYERS or any(coding not in _CODINGS for coding in codings):
        return None
    content = Content(body[:limit], len(body) <= limit)
    for coding in reversed(codings):
        inflated = _inflate(content.body, _CODINGS[coding], limit)
        content = Content(inflated.body, content.whole and inflated.whole)
    return content


def _inflate(body: bytes, window_bits: int, limit: int) -> Content:
    """Inflate as much as can be; members of gzip may follow one another."""
    if not body:
        return Content(b"", whole=True)  # curl takes it for an empty body, too
    inflated = bytearray()
    rest = body
    while rest and len(inflated) <= limit:
        inflating = zlib.decompressobj(window_bits)
        try:
            inflated += inflating.decompress(rest, limit + 1 - len(inflated))
        except zlib.error:
            if window_bits == _ZLIB and rest is body:  # many send it without zlib's header
                return _inflate(body, _RAW_DEFLATE, limit)
            was_coded = inflated or rest is not body or body.startswith(_GZIP_MAGIC)
            return Content(bytes(inflated[:limit] if was_coded else body), whole=False)
        if not inflating.eof:
            return Content(bytes(inflated[:limit]), whole=False)
        rest = inflating.unused_data if window_bits == _GZIP else b""
    return Content(bytes(inflated[:limit]), whole=len(inflated) <= limit)


def text_of(body: bytes, headers: httpx.Headers) -> str:
    """Return *body* decoded by the charset of its content type, else UTF-8; never raises.

    Of a protobuf message it is the message of the `Status` with which an OTLP receiver says no.
    """
    if media_type(headers) in PROTOBUF_TYPES and (message := _status_message(body)) is not None:
        return message
    content_type = headers.get("content-type", "").encode(errors="replace")  # may be no ASCII
    named = httpx.Response(200, headers={b"content-type": content_type})
    try:
        charset = codecs.lookup(named.charset_encoding or "utf-8").name
    except (LookupError, ValueError):  # the latter: a NUL in its name
        charset = "utf-8"
    if charset == "iso8859-1":
        charset = "cp1252"  # so do browsers, for so it is meant
    text = body.decode(charset if charset in _CHARSETS else "utf-8", errors="replace")
    return text.removeprefix("\ufeff")


def _status_message(body: bytes) -> str | None:
    """Return field 2 of a `google.rpc.Status`; `None` if *body* is none, or has no such field.

    Spec: https://opentelemetry.io/docs/specs/otlp/#failures-1
    """
    message, at = None, 0
    while at < len(body):
        key, at = _varint(body, at)
        if key in _LENGTH_KEYS:
            size, at = _varint(body, at)
            if key == _MESSAGE_KEY:
                message = body[at : at + size]
            at += size
        elif key == _CODE_KEY:
            _, at = _varint(body, at)
        else:
            return None
    if message is None or at > len(body):
        return None
    return message.decode(errors="replace")


def _varint(body: bytes, at: int) -> tuple[int, int]:
    """Return the number that begins at *at*, and where it ends: past the end where it is cut."""
    value = 0
    for place in range(at, min(at + _VARINT_BYTES, len(body))):
        value |= (body[place] & 0x7F) << 7 * (place - at)
        if body[place] < 0x80:  # noqa: PLR2004  # the bit that says that there is more
            return value, place + 1
    return 0, len(body) + 1
