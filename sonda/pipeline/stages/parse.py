"""Stage 1: bytes to a JSON object."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from typing import Any, Final, NoReturn

import msgspec
from returns.result import Failure, Result, Success

from sonda.pipeline.problems import Malformed, NotJson, Problem, ValidationIssue
from sonda.pipeline.text.escape import kind_of, variant


def parse(raw: bytes) -> Result[dict[str, Any], Problem]:
    """Decode one UTF-8 JSON object; fails with `NotJson` or `Malformed`.

    Stricter than the standard library where leniency would lose or change something: no NaN or
    infinity, no number beyond a double, no name twice in an object, no lone surrogate.
    Spec: https://www.rfc-editor.org/rfc/rfc8259
    """
    if (plain := _decode_plain(raw)) is not None:
        return Success(plain)
    try:
        document = _DECODER.decode(raw.decode())
        if b"\\ud" in raw or b"\\uD" in raw:  # only an escape can make a surrogate
            json.dumps(document, ensure_ascii=False).encode()  # fails on one that stands alone
    except RecursionError:
        return Failure(NotJson("it is nested too deeply"))
    except UnicodeDecodeError as exc:
        return Failure(NotJson(f"it is not UTF-8 at byte {exc.start}"))
    except UnicodeEncodeError:
        return Failure(NotJson("it holds a lone surrogate, which no UTF-8 text can carry"))
    except ValueError as exc:
        return Failure(NotJson(str(exc)))
    if not isinstance(document, dict):
        return Failure(
            Malformed((ValidationIssue("", f"expected an object, got {kind_of(document)}"),))
        )
    return Success(document)


_SURELY_A_DOUBLE_DIGITS: Final = 300
_LONG_NUMBER: Final = re.compile(rb"[:,\[]-?[0-9]{%d}" % _SURELY_A_DOUBLE_DIGITS)
_READER: Final = msgspec.json.Decoder()
_WRITER: Final = msgspec.json.Encoder()


def _decode_plain(raw: bytes) -> dict[str, Any] | None:
    """Decode fast an object in which nothing calls for strictness; `None` is no verdict.

    msgspec keeps the last of two equal names, and takes `-0` for an integer. But what comes out as
    it went in, blanks aside, has lost nothing. Only a number may still be too long for a double.
    """
    try:
        document = _READER.decode(raw)
        compact = _WRITER.encode(document)
        same = compact == raw or compact == msgspec.json.format(raw, indent=-1)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    plain = same and isinstance(document, dict) and not _LONG_NUMBER.search(compact)
    return document if plain else None


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
    if len(text) > _SURELY_A_DOUBLE_DIGITS:  # and int() itself stops at 4,300 digits
        _double(text)
    return int(text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"the name {variant(twice)} stands twice in one object")
    return document


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique,
    parse_constant=_refuse_constant,
    parse_float=_double,
    parse_int=_integer,
)
