"""Credentials: found where a client wrote them, and removed from what is shown.

The schemas keep secrets out of what we say ourselves (`x-secret`). But a destination may send back
what it was sent, and an exception may quote what it choked on.
"""

from __future__ import annotations

import binascii
import json
import re
from base64 import b64decode, b64encode, urlsafe_b64encode
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import fields
from typing import Any, Final
from urllib.parse import unquote, unquote_to_bytes

from sonda.pipeline.text.escape import ANSWER_CHARACTERS, excerpt, hide_userinfo

_NAME: Final = re.compile(
    r"auth|cookie|token|secret|pass|pwd|credential|signature|session|key|jwt|bearer|login",
    re.IGNORECASE,
)
_SCHEME: Final = re.compile(r"^\s*(?:[A-Za-z][A-Za-z0-9+.-]*:)?[/\\]*")
_PARAMETER: Final = re.compile(r'([^\s=;,"]+)\s*=\s*("[^"]*"|[^\s;,]+)')  # of a cookie, of Digest
_HIDDEN: Final = "***"
_MOST_ESCAPES: Final = 2000
_SHORTEST: Final = 4  # what is shorter is no secret, and would turn up everywhere


def scrub(text: str, secrets: Iterable[str]) -> str:
    """Replace *secrets*, however they are escaped, by `***`."""
    return replace_secrets(text, dict.fromkeys(secrets, _HIDDEN))


def quote_words(
    text: str, secrets: Iterable[str], limit: int = ANSWER_CHARACTERS, *, whole: bool = True
) -> str:
    """Return a destination's words on one line, their start and end, without *secrets*.

    Of a text that is not *whole* the start is quoted alone. One with so many escapes that looking
    through them would keep the event loop is not quoted if there is something to hide.
    """
    from sonda.pipeline.text.unescape import count_marks  # only where something is to be hidden

    hidden = tuple(secrets)
    if hidden and count_marks(text) > _MOST_ESCAPES:
        return _HIDDEN
    return excerpt(scrub(text, hidden), limit, whole=whole)


def replace_secrets(text: str, replacements: Mapping[str, str]) -> str:
    """Replace each secret, in any escaping and escapes within escapes, by its replacement.

    Where escapes stand inside one another too deep to be undone, nothing of *text* is returned.
    """
    if not replacements or not text:
        return text
    from sonda.pipeline.text.unescape import folded, split_astral, unescaped

    wanted = {
        spelling: shown
        for secret, shown in replacements.items()
        if len(secret) >= _SHORTEST
        for spelling in _spellings(secret)
    }
    if not wanted:
        return text
    longest_first = sorted(wanted, key=len, reverse=True)  # one may be a part of another
    found: list[tuple[int, int, str]] = []
    layers, some_left = unescaped(split_astral(text))
    if some_left:
        return _HIDDEN
    for layer in layers:
        searched = folded(layer.text)
        for spelling in longest_first:
            at = searched.find(spelling)
            while at >= 0:
                end = at + len(spelling)
                found.append((layer.starts[at], layer.ends[end - 1], wanted[spelling]))
                at = searched.find(spelling, end)
    return _join(split_astral(text), found) if found else text


def _spellings(secret: str) -> Iterator[str]:
    """Yield a secret as it is, with its own escapes undone, as UTF-8 read as Latin-1, and coded.

    CSV and SQL double quotes; programs that do not trust text print it in Base64 or hexadecimal.
    """
    from sonda.pipeline.text.unescape import folded, split_astral, unescaped

    garbled = secret.encode(errors="surrogatepass").decode("latin-1")
    for meant in (secret, secret.strip("\\"), garbled):  # a final backslash can be lost on the way
        for layer in unescaped(split_astral(meant))[0]:
            if len(layer.text) >= _SHORTEST:
                yield folded(layer.text)
    for mark in "\"'":
        if mark in secret:
            yield folded(secret.replace(mark, mark * 2))
    encoded = secret.encode(errors="surrogatepass")
    for coded in (b64encode(encoded), urlsafe_b64encode(encoded)):
        yield folded(coded.decode("ascii").rstrip("="))
    yield encoded.hex()


def _join(text: str, found: list[tuple[int, int, str]]) -> str:
    """Return *text* with each found span replaced; of overlapping ones the first counts."""
    parts: list[str] = []
    at = 0
    for start, end, shown in sorted(found, key=lambda one: (one[0], -one[1])):
        if start >= at:
            parts += (text[at:start], shown)
        at = max(at, end)
    joined = "".join([*parts, text[at:]])
    return joined.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


def secrets_of_headers(headers: Mapping[str, str]) -> Iterator[str]:
    """Yield the values of credential headers, and what stands in them without its scheme or name."""
    for name, value in headers.items():
        if _NAME.search(name):
            yield value
            scheme, _, token = value.partition(" ")
            yield token.strip()
            if scheme.lower() == "basic":
                yield from _spellings_of_login(token.strip())
            yield from (pair[1].strip('"') for pair in _PARAMETER.findall(value))


def mask(headers: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Replace the values of credential headers by `***`."""
    return tuple((name, "***" if _NAME.search(name) else value) for name, value in headers)


def _spellings_of_login(token: str) -> Iterator[str]:
    """Yield the name and password that `Basic` stands for, and its other spellings in Base64."""
    try:
        login = b64decode(token, validate=True)
    except (binascii.Error, ValueError):
        return
    yield b64encode(login).decode("ascii").rstrip("=")
    yield urlsafe_b64encode(login).decode("ascii").rstrip("=")
    text = login.decode("utf-8", errors="replace")
    yield text
    yield text.partition(":")[2]


def secrets_of_userinfo(userinfo: str) -> Iterator[str]:
    """Yield a URL's password, as it is written and as it is meant, and the login it is sent as."""
    if not userinfo:
        return
    name, _, password = userinfo.partition(":")
    yield userinfo
    yield password
    yield unquote(password)
    login = unquote_to_bytes(name) + b":" + unquote_to_bytes(password)
    yield from _spellings_of_login(b64encode(login).decode("ascii"))


def secrets_of_sink(options: Mapping[str, Any]) -> Iterator[str]:
    """Yield the secrets in a sink's options, which need not be valid."""
    headers, sasl = options.get("headers"), options.get("sasl")
    if isinstance(headers, dict):
        yield from secrets_of_headers({n: v for n, v in headers.items() if isinstance(v, str)})
    if isinstance(sasl, dict) and isinstance(sasl.get("password"), str):
        yield sasl["password"]
    for target in options.values():
        if isinstance(target, str) and "@" in target:
            before = target.rpartition("@")[0]
            yield from secrets_of_userinfo(_SCHEME.sub("", before))


def secrets_of_body(raw: bytes) -> tuple[str, ...]:
    """Return the secrets of all sinks in a body: one JSON document, or one on each line."""
    try:
        return tuple(_secrets_within(json.loads(raw)))
    except (ValueError, RecursionError):
        pass
    secrets: list[str] = []
    for line in raw.splitlines():
        with suppress(ValueError, RecursionError):
            secrets += _secrets_within(json.loads(line))
    return tuple(secrets)


def _secrets_within(document: Any) -> Iterator[str]:
    """Yield the secrets of every object under a `sink`, however deep it stands."""
    waiting = [document]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if isinstance(sink := value.get("sink"), dict):
                yield from secrets_of_sink(sink)
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def repr_without_secrets(options: Any) -> str:
    """Return the `__repr__` of a sink's options: no headers, and no userinfo in a URL."""
    shown = (
        (one.name, hide_userinfo(value) if isinstance(value, str) else value)
        for one in fields(options)
        if one.repr
        for value in [getattr(options, one.name)]
    )
    return f"{type(options).__name__}({', '.join(f'{name}={value!r}' for name, value in shown)})"
