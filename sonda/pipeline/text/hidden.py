"""What a named destination keeps from its callers: header values, passwords and paths."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from sonda.pipeline.text.escape import shown
from sonda.pipeline.text.redact import secrets_of_headers, secrets_of_userinfo

HIDDEN: Final = "***"
_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)([^/?#\\]*)(.*)", re.DOTALL)
_LONG_SEGMENT_CHARACTERS: Final = 8
_URLS: Final = ("url", "endpoint")
_FILES: Final = ("ca_cert", "client_cert", "client_key")


def hidden_texts(sink: Mapping[str, Any], verify_url: str | None = None) -> dict[str, str]:
    """Return each text of a sink's options that a caller must not see, and what is shown instead.

    Of a URL its scheme, host and port stay.
    """
    hidden: dict[str, str] = {}
    for name, value in _headers(sink).items():
        hidden.update(dict.fromkeys((value, *secrets_of_headers({name: value})), HIDDEN))
    for url in (*(sink.get(option) for option in _URLS), verify_url):
        if isinstance(url, str):
            hidden.update(_of_url(url))
    hidden.update(dict.fromkeys(_own_texts(sink), HIDDEN))
    return {text: instead for text, instead in hidden.items() if text and text != instead}


def _headers(sink: Mapping[str, Any]) -> dict[str, str]:
    headers = sink.get("headers")
    return dict(headers) if isinstance(headers, dict) else {}


def _own_texts(sink: Mapping[str, Any]) -> Iterator[str]:
    if isinstance(path := sink.get("path"), str):
        yield path
    sasl, tls = sink.get("sasl"), sink.get("tls")
    if isinstance(sasl, dict):
        yield str(sasl.get("password", ""))
    if isinstance(tls, dict):
        yield from (str(tls[name]) for name in _FILES if name in tls)


def _of_url(url: str) -> Iterator[tuple[str, str]]:
    """Yield the spellings of a URL that show its path or its password, and these themselves."""
    match = _URL.match(url)
    if match is None:
        return
    scheme, authority, path = match.groups()
    userinfo, _, place = authority.rpartition("@")
    for secret in secrets_of_userinfo(userinfo):
        yield secret, HIDDEN
    path = path.rstrip("/") if "?" not in path and "#" not in path else path
    if not path:
        return
    instead = f"{scheme}{place}/{HIDDEN}"
    for spelling in (url.removesuffix("/"), f"{scheme}{place}{path}", shown(url.removesuffix("/"))):
        yield spelling, instead
    yield f"{place}{path}", f"{place}/{HIDDEN}"
    yield path, f"/{HIDDEN}"
    for part in re.split(r"[/?&=#;]", path):
        if len(part) >= _LONG_SEGMENT_CHARACTERS:
            yield part, HIDDEN
