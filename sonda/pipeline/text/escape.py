"""How a user's or a destination's text is shown: on one line, cut at a bound, secrets left out."""

from __future__ import annotations

import json
import re
from typing import Final

QUOTED_CHARACTERS: Final = 200
ANSWER_CHARACTERS: Final = (
    1000  # a destination may name the whole stream before it says what is wrong
)
_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,200}")
_USERINFO: Final = re.compile(r"//[^/?#\\]*@")


def quote(value: object, limit: int = QUOTED_CHARACTERS) -> str:
    """Show a JSON scalar as JSON, a string cut at *limit* characters; containers by their kind."""
    if isinstance(value, str):
        return f'"{escape(cut(value, limit), quotes=True)}"'
    if isinstance(value, (dict, list)):
        return kind_of(value)
    return cut(json.dumps(value), limit)


def variant(value: str) -> str:
    """Show the wrong value of an enumeration: `'traces'`."""
    return f"'{escape(cut(value, QUOTED_CHARACTERS))}'"


def excerpt(text: bytes | str, limit: int = ANSWER_CHARACTERS) -> str:
    """Show the start of a destination's words on one line."""
    if isinstance(text, bytes):
        text = text[: 4 * limit + 4].decode(errors="replace")  # UTF-8: at most 4 bytes a character
    return escape(cut(text.strip(), limit))


def escape(text: str, *, quotes: bool = False) -> str:
    r"""Write what is not printable as JSON escapes (`\n`, `\u001b`); *quotes*: `"` and `\`, too."""
    if text.isprintable() and not (quotes and ('"' in text or "\\" in text)):
        return text
    return "".join(
        json.dumps(c)[1:-1] if not c.isprintable() or (quotes and c in '"\\') else c for c in text
    )


def cut(text: str, limit: int) -> str:
    """Keep at most *limit* characters, and say so with an ellipsis."""
    return text if len(text) <= limit else f"{text[:limit]}…"


def at(*parts: str | int) -> str:
    """Write where in a body something is: `sink.retry.max_attempts`, `labels["a b"]`."""
    path = ""
    for part in parts:
        if isinstance(part, str) and _PLAIN_NAME.fullmatch(part):
            path += f".{part}" if path else part
        else:
            path += f"[{quote(part)}]"
    return path


def hide_userinfo(target: str) -> str:
    """Replace the name and password of a URL or address by `***`."""
    if "@" not in target:
        return target
    hidden, found = _USERINFO.subn("//***@", target)
    return hidden if found else f"***@{target.rpartition('@')[2]}"


def shown(target: str) -> str:
    """Show where an event goes: on one line, cut at a bound, without name and password."""
    return escape(cut(hide_userinfo(target), QUOTED_CHARACTERS))


def kind_of(value: object) -> str:
    """Name the JSON type of a value, with its article."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "an object"
