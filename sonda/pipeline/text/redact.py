"""What proves who is asking: found where a client wrote it, and taken out of what is shown.

The schemas keep secrets out of what we say ourselves (`x-secret`). But a destination may send back
what it was sent, and an exception may quote what it choked on.
"""

from __future__ import annotations

import binascii
import json
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from typing import Any, Final
from urllib.parse import unquote

from sonda.pipeline.text.escape import hide_userinfo

_NAME: Final = re.compile(
    r"auth|cookie|token|secret|password|credential|signature|session|key", re.IGNORECASE
)
_USERINFO: Final = re.compile(r"//([^/?#\\]*)@")
_SHORTEST: Final = 4  # what is shorter is no secret, and would turn up everywhere


def scrub(text: str, secrets: Iterable[str]) -> str:
    """Replace *secrets*, in any spelling that JSON or Python gives them, by `***`."""
    spellings = {
        spelling
        for secret in secrets
        for spelling in (
            secret,
            json.dumps(secret)[1:-1],
            json.dumps(secret, ensure_ascii=False)[1:-1],
            repr(secret)[1:-1],
            repr(secret.encode(errors="surrogatepass"))[2:-1],
        )
        if len(secret) >= _SHORTEST
    }
    for spelling in sorted(spellings, key=len, reverse=True):  # one may be a part of another
        text = text.replace(spelling, "***")
    return text


def secrets_of_headers(headers: Mapping[str, str]) -> Iterator[str]:
    """Give the values of credential headers, and what stands in them without its scheme or name."""
    for name, value in headers.items():
        if _NAME.search(name):
            yield value
            scheme, _, token = value.partition(" ")
            yield token.strip()
            if scheme.lower() == "basic":
                yield from _password(token)
            if "cookie" in name.lower():
                yield from (pair.partition("=")[2].strip() for pair in value.split(";"))


def mask(headers: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Put `***` for the values of credential headers."""
    return tuple((name, "***" if _NAME.search(name) else value) for name, value in headers)


def _password(token: str) -> Iterator[str]:
    try:
        yield b64decode(token, validate=True).decode().partition(":")[2]
    except (binascii.Error, ValueError):
        return


def secrets_of_userinfo(userinfo: str) -> Iterator[str]:
    """Give a URL's password, as it is written and as it is meant, and the login it is sent as."""
    if not userinfo:
        return
    name, _, password = userinfo.partition(":")
    yield password
    yield unquote(password)
    yield b64encode(f"{unquote(name)}:{unquote(password)}".encode()).decode("ascii")


def secrets_of_sink(options: Mapping[str, Any]) -> Iterator[str]:
    """Give the secrets in a sink's options, which need not be valid."""
    headers, sasl = options.get("headers"), options.get("sasl")
    if isinstance(headers, dict):
        yield from secrets_of_headers({n: v for n, v in headers.items() if isinstance(v, str)})
    if isinstance(sasl, dict) and isinstance(sasl.get("password"), str):
        yield sasl["password"]
    for target in (options.get("url"), options.get("endpoint")):
        if isinstance(target, str) and (match := _USERINFO.search(target)):
            yield from secrets_of_userinfo(match[1])


def secrets_of_body(raw: bytes) -> tuple[str, ...]:
    """Give the secrets in a body, if it is one at all."""
    try:
        sink = json.loads(raw)["sink"]
        return tuple(secrets_of_sink(sink)) if isinstance(sink, dict) else ()
    except (ValueError, TypeError, LookupError, RecursionError):
        return ()


def repr_without_secrets(options: Any) -> str:
    """Be the `__repr__` of a sink's options: without headers, and without the name in a URL."""
    shown = (
        (one.name, hide_userinfo(value) if isinstance(value, str) else value)
        for one in fields(options)
        if one.repr
        for value in [getattr(options, one.name)]
    )
    return f"{type(options).__name__}({', '.join(f'{name}={value!r}' for name, value in shown)})"
