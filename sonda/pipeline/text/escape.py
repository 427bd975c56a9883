"""How a user's or a destination's text is shown: on one line, cut at a bound, no userinfo in it."""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections import Counter
from typing import Final

QUOTED_CHARACTERS: Final = 200
ANSWER_CHARACTERS: Final = 1000
_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,200}")
_WORDS: Final = re.compile(r"\s+|\S+")
_SHORT_WORD: Final = 40
_MOST_READ: Final = (
    65536  # characters of a destination's words; of more the middle is not looked at
)
_SCHEME: Final = re.compile(r"\s*(?:[A-Za-z][A-Za-z0-9+.-]*:[/\\]+|[/\\]{2,})")
_AT: Final = ("@", "%40", "\uff20", "\ufe6b")
_END_OF_AUTHORITY: Final = re.compile(r"[/?#\\]")


def quote(value: object, limit: int = QUOTED_CHARACTERS) -> str:
    """Return a JSON scalar as JSON, a string cut at *limit* characters; of a container its kind.

    The userinfo of whatever looks like a URL is hidden.
    """
    if isinstance(value, str):
        return f'"{escape(cut(_without_login(value), limit), quotes=True)}"'
    if isinstance(value, (dict, list)):
        return kind_of(value)
    return cut(json.dumps(value), limit)


def variant(value: str) -> str:
    """Return the wrong value of an enumeration in quotes: `'traces'`."""
    return f"'{escape(cut(_without_login(value), QUOTED_CHARACTERS))}'"


def excerpt(text: bytes | str, limit: int = ANSWER_CHARACTERS, *, whole: bool = True) -> str:
    """Return a destination's words on one line, at most some *limit* characters, start and end kept.

    Many name the series first and the reason last, or between two mentions of a long value: long
    words are shortened before the text is. Of words that are not *whole*, whose end is not known,
    the start is kept.
    """
    if isinstance(text, bytes):
        text = text.decode(errors="replace")
    text = text.strip()
    if not whole:
        return escape(f"{text[:limit]}…")
    short = _shorten_words(_shorten(text, _MOST_READ), limit)
    return escape(short if len(short) <= limit + 1 else _shorten(short, limit))


def _shorten(text: str, limit: int) -> str:
    """Return *text* without its middle, if it is longer than *limit*."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[: limit - half]}…{text[-half:]}"


def _shorten_words(text: str, limit: int) -> str:
    """Shorten the longest words of a text that is too long, as little as makes it fit."""
    if len(text) <= limit:
        return text
    words = _WORDS.findall(text)
    lengths = Counter(map(len, words)).items()

    def excess(longest: int) -> int:
        return sum(min(length, longest + 1) * count for length, count in lengths) - limit - 1

    longest = bisect_left(range(limit + 1), 1, lo=_SHORT_WORD, key=excess) - 1
    return "".join(_shorten(word, max(longest, _SHORT_WORD)) for word in words)


def escape(text: str, *, quotes: bool = False) -> str:
    r"""Return *text* with JSON escapes for what is not printable; *quotes*: for `"` and `\`, too."""
    if text.isprintable() and not (quotes and ('"' in text or "\\" in text)):
        return text
    return "".join(
        json.dumps(c)[1:-1] if not c.isprintable() or (quotes and c in '"\\') else c for c in text
    )


def cut(text: str, limit: int) -> str:
    """Return at most *limit* characters of *text*, with an ellipsis where some are missing."""
    return text if len(text) <= limit else f"{text[:limit]}…"


def at(*parts: str | int) -> str:
    """Return where in a body something is: `sink.retry.max_attempts`, `labels["a b"]`."""
    path = ""
    for part in parts:
        if isinstance(part, str) and _PLAIN_NAME.fullmatch(part):
            path += f".{part}" if path else part
        else:
            path += f"[{quote(part)}]"
    return path


def hide_userinfo(target: str) -> str:
    """Return a valid URL or address with `***` for its name and password."""
    if "@" not in target:
        return target
    scheme = _SCHEME.match(target)
    if scheme is None:
        return f"***@{target.rpartition('@')[2]}"
    end = _END_OF_AUTHORITY.search(target, scheme.end())
    authority = target[scheme.end() : end.start() if end else len(target)]
    if "@" not in authority:
        return target
    rest = target[scheme.end() + len(authority) :]
    return f"{scheme[0]}***@{authority.rpartition('@')[2]}{rest}"


def hide_login(text: str) -> str:
    """Return a value that may be no valid URL or address with `***` for all before its last `@`.

    One that is percent-encoded or as wide as an ideograph counts, too.
    """
    start, end = max((start, start + len(sign)) for sign in _AT for start in (text.rfind(sign),))
    if start < 0:
        return text
    scheme = _SCHEME.match(text, 0, start)
    return f"{scheme[0] if scheme else ''}***@{text[end:]}"


def _without_login(text: str) -> str:
    """Return any text with a login hidden, as `//name:password@` and as `name:password@`."""
    before, _, _ = text.rpartition("@")
    return hide_login(text) if ":" in before or "//" in before else text


def shown(target: str) -> str:
    """Return where an event goes, fit to be shown: on one line, cut, without userinfo."""
    return escape(cut(hide_userinfo(target), QUOTED_CHARACTERS))


def kind_of(value: object) -> str:
    """Return the name of a value's JSON type, with its article."""
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
