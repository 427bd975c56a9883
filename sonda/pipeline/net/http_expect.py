"""The `expect` option: conditions on an answer, for an API that says no inside a 2xx.

Spec: https://www.rfc-editor.org/rfc/rfc6901 (JSON Pointer)
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from jsonpointer import JsonPointer

from sonda.pipeline.net.http_content import decode, text_of
from sonda.pipeline.net.http_verdict import (
    Accepted,
    HttpAnswer,
    Judge,
    Rejected,
    Unreadable,
    Verdict,
    status_is_enough,
)
from sonda.pipeline.text.compact_json import compact_text
from sonda.pipeline.text.escape import QUOTED_CHARACTERS, cut

JSON_BYTES: Final = 1 << 20
_MISSING: Final = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Expect:
    """Options: the statuses that are a yes instead of every 2xx, and what the JSON must hold."""

    status: tuple[int, ...] | None = None
    json: Mapping[str, Any] | None = None


def answer_bytes(expect: Expect | None, otherwise: int) -> int:
    """Return how much of a body must be read, *otherwise* where it is not looked into."""
    return JSON_BYTES + 1 if expect is not None and expect.json else otherwise


def is_expected(expect: Expect, status: int) -> bool:
    """Return whether *status* is one of those that are asked for, which may be any 2xx."""
    return status in expect.status if expect.status else status // 100 == 2  # noqa: PLR2004


def judge_expected(expect: Expect | None) -> Judge:
    """Return the judge of what a body holds."""
    if expect is None or not expect.json:
        return status_is_enough
    return partial(_judge, expect.json)


def _judge(expected: Mapping[str, Any], answer: HttpAnswer, _events: int) -> Verdict:
    """Hold the whole body, decoded, against each pointer; what cannot be had whole is no verdict."""
    content = decode(answer.body, answer.headers, JSON_BYTES)
    if content is None or not (answer.whole and content.whole):
        return Unreadable("its body cannot be read whole")
    rejected = partial(
        Rejected, words=text_of(content.body, answer.headers), per_event=True, may_be_stored=True
    )
    try:
        document = json.loads(content.body, object_pairs_hook=_members, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return rejected("but its body is no JSON")
    for pointer, value in expected.items():
        found = _resolve(document, pointer)
        if found is _MISSING:
            return rejected(f"but {_name(pointer)} is missing")
        if not _equal(found, value):
            return rejected(f"but {_name(pointer)} is {_show(found)}, not {_show(value)}")
    return Accepted()


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a member stands there twice")  # which of them counts nobody can tell
    return members


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _resolve(document: Any, pointer: str) -> Any:
    """Return what *pointer* leads to, or `_MISSING`; only objects and arrays have members."""
    value = document
    for part in JsonPointer(pointer).parts:
        match value:
            case dict():
                value = value.get(part, _MISSING)
            case list():
                is_index = part.isascii() and part.isdigit() and (part == "0" or part[0] != "0")
                index = int(part) if is_index and len(part) <= len(str(len(value))) else -1
                value = value[index] if 0 <= index < len(value) else _MISSING
            case _:
                return _MISSING
    return value


def _equal(found: Any, wanted: Any) -> bool:
    """Compare by JSON's types: `false` is not 0, but 1 is 1.0."""
    match found, wanted:
        case dict(), dict():
            return found.keys() == wanted.keys() and all(
                _equal(value, wanted[name]) for name, value in found.items()
            )
        case list(), list():
            return len(found) == len(wanted) and all(map(_equal, found, wanted))
    return isinstance(found, bool) is isinstance(wanted, bool) and bool(found == wanted)


def _name(pointer: str) -> str:
    return cut(pointer, QUOTED_CHARACTERS) or "the whole body"


def _show(value: Any) -> str:
    text = compact_text(value)
    return cut(text, QUOTED_CHARACTERS)
