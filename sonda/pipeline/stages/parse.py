"""Stage 1: bytes to a JSON object."""

from __future__ import annotations

import gc
import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Final, NoReturn

import msgspec
from returns.result import Failure, Result, Success

from sonda.pipeline.problems import Malformed, NotJson, Problem, ValidationIssue
from sonda.pipeline.text.escape import kind_of, variant

_BYTE_ORDER_MARK: Final = "\ufeff"
_MANY_CONTAINERS: Final = 10_000


def parse(raw: bytes) -> Result[dict[str, Any], Problem]:
    """Decode one UTF-8 JSON object; fails with `NotJson` or `Malformed`.

    Stricter than the standard library where leniency would lose or change something: no NaN or
    infinity, no number beyond a double, no name twice in an object, no lone surrogate.
    Spec: https://www.rfc-editor.org/rfc/rfc8259
    """
    if len(raw) < _MANY_CONTAINERS:
        plain = _decode_plain(raw)
        return _decode_strictly(raw) if plain is None else Success(plain)
    with collector_paused(raw):
        plain = _decode_plain(raw)
        return _decode_strictly(raw) if plain is None else Success(plain)


def collector_paused(raw: bytes) -> AbstractContextManager[object]:
    """Keep the garbage collector from walking half a million new containers again and again.

    It would more than double the time that such a body takes; there is nothing to collect in it.
    """
    is_many = raw.count(b"[") + raw.count(b"{") >= _MANY_CONTAINERS
    return _paused() if is_many else nullcontext()


@contextmanager
def _paused() -> Iterator[None]:
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _decode_strictly(raw: bytes) -> Result[dict[str, Any], Problem]:
    try:
        text = raw.decode()
        document = _decoder(raw).decode(text)
        if b"\\ud" in raw or b"\\uD" in raw:  # only an escape can make a surrogate
            json.dumps(document, ensure_ascii=False).encode()  # fails on one that stands alone
    except RecursionError:
        return Failure(NotJson("it is nested too deeply"))
    except UnicodeDecodeError as exc:
        return Failure(NotJson(f"it is not UTF-8 at byte {exc.start}"))
    except UnicodeEncodeError:
        return Failure(NotJson("it holds a lone surrogate, which no UTF-8 text can carry"))
    except json.JSONDecodeError as exc:
        return Failure(NotJson(f"{exc}{_remedy(text, exc.pos)}"))
    except ValueError as exc:
        return Failure(NotJson(str(exc)))
    if not isinstance(document, dict):
        reason = f"expected an object, got {kind_of(document)}"
        return Failure(Malformed((ValidationIssue("", reason),)))
    return Success(document)


def _remedy(text: str, position: int) -> str:
    """Return, in brackets, what to mend where decoding *text* has stopped at *position*."""
    before, after = text[:position].rstrip(_BLANKS), text[position : position + 100].lstrip(_BLANKS)
    if not before and not after:
        return " (the body is empty)"
    if text.startswith(_BYTE_ORDER_MARK):
        return " (the body starts with a byte order mark)"
    if after.startswith(","):  # Python 3.13 points at the comma itself
        before, after = f"{before},", after[1:].lstrip(_BLANKS)
    if before.endswith(",") and after.startswith(("}", "]")):
        return " (a comma before the closing bracket)"
    if after.startswith("'"):
        return " (JSON takes double quotes)"
    return ""


_BLANKS: Final = " \t\r\n"
_READER: Final = msgspec.json.Decoder()
_WRITER: Final = msgspec.json.Encoder()

# Shorter numbers are surely doubles: 199 digits with an exponent of two stay below 10**299.
_DIGITS: Final = 200
_ONE_DIGIT: Final = bytes.maketrans(b"123456789", b"0" * 9)
_LONG_NUMBER: Final = b"0" * _DIGITS  # so many in a row; linear, which a regular expression is not
_LONG_BODY: Final = 10_000
_FAR_EXPONENT: Final = re.compile(rb"[eE][+-]?[0-9]{3}")
_NEEDLESS_ESCAPE: Final = re.compile(rb"\\(?:u(?!00[01])|/)")  # no writer of ours makes one
_LARGE_EXPONENT: Final = re.compile(rb"[0-9.][eE]\+?[0-9]{3}")


def _decode_plain(raw: bytes) -> dict[str, Any] | None:
    """Decode fast an object in which nothing calls for strictness; `None` is no verdict.

    msgspec keeps the last of two equal names, and takes `-0` for an integer. But what comes out as
    it went in, blanks aside, has lost nothing. Only a number may still be too long for a double.
    """
    if len(raw) > _LONG_BODY and (_FAR_EXPONENT.search(raw) or _NEEDLESS_ESCAPE.search(raw)):
        return None  # msgspec takes 10 µs for a number near the ends of the range
    try:
        document = _READER.decode(raw)
        compact = _WRITER.encode(document)
        same = compact == raw or compact == msgspec.json.format(raw, indent=-1)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    has_long_number = _LONG_NUMBER in compact.translate(_ONE_DIGIT)
    return document if same and isinstance(document, dict) and not has_long_number else None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _double(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError("a number is out of the range of a double")
    return value


def _integer(text: str) -> int | float:
    if text == "-0":  # a double knows a negative zero, an integer does not
        return -0.0
    if len(text) > _DIGITS:  # and int() itself stops at 4,300 digits
        _double(text)
    return int(text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"the name {variant(twice)} stands twice in one object")
    return document


_CAREFUL: Final = json.JSONDecoder(
    object_pairs_hook=_unique,
    parse_constant=_refuse_constant,
    parse_float=_double,
    parse_int=_integer,
)
_PLAIN_NUMBERS: Final = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse_constant)


def _decoder(raw: bytes) -> json.JSONDecoder:
    """Return the decoder that *raw* needs: to look at each number in Python takes four times as long."""
    if b"-0" in raw or _LARGE_EXPONENT.search(raw) or _LONG_NUMBER in raw.translate(_ONE_DIGIT):
        return _CAREFUL
    return _PLAIN_NUMBERS
