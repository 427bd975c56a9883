"""The `format`s of our schemas: each returns the value it reads, or raises `ValueError` with the reason.

A reason never quotes the value: that is the schema's to allow, and a value may be a megabyte long.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from sonda.pipeline.values.addresses import (
    check_addresses,
    check_host,
    parse_address,
    parse_http_url,
)
from sonda.pipeline.values.paths import check_path
from sonda.pipeline.values.timestamps import parse_rfc3339

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")  # all but the tab
_METADATA_NAME: Final = re.compile(r"[0-9A-Za-z_.-]+")
_PRINTABLE: Final = re.compile(r"[ -~]*")
_POINTER: Final = re.compile(r"(?:/(?:[^~]|~[01])*)?")  # RFC 6901, section 3


def header_name(text: str) -> str:
    """Return *text* if it is an HTTP field name."""
    if not _TOKEN.fullmatch(text):
        raise ValueError("expected an HTTP header name")
    return text


def header_value(text: str) -> str:
    """Return *text* if it is an HTTP field value; anything beyond ASCII goes out as UTF-8."""
    if _CONTROL.search(text):
        raise ValueError("a header value holds no control characters such as CR, LF or NUL")
    if text != text.strip(" \t"):
        raise ValueError("a header value neither starts nor ends with a blank")
    return text


def metadata_name(text: str) -> str:
    """Return *text* if it is a gRPC metadata key, the binary ones excepted."""
    if not _METADATA_NAME.fullmatch(text):
        raise ValueError("expected a gRPC metadata name")
    if text.lower().endswith("-bin"):
        raise ValueError("binary metadata (-bin) is not supported")
    return text


def metadata_value(text: str) -> str:
    """Return *text* if it is a gRPC metadata value."""
    if not _PRINTABLE.fullmatch(text):
        raise ValueError("a metadata value is printable ASCII")
    return header_value(text)


def json_pointer(text: str) -> str:
    """Return *text* if it is a JSON Pointer (RFC 6901)."""
    if not _POINTER.fullmatch(text):
        raise ValueError("expected a JSON Pointer such as /errors: empty, or / before each name")
    return text


FORMATS: Final[Mapping[str, Callable[[str], object]]] = {
    "instant": parse_rfc3339,
    "host-name": check_host,
    "host-port": parse_address,
    "http-url": parse_http_url,
    "header-name": header_name,
    "header-value": header_value,
    "json-pointer": json_pointer,
    "metadata-name": metadata_name,
    "metadata-value": metadata_value,
    "brokers": check_addresses,
    "path": check_path,
}

PATTERNS: Final[Mapping[str, str]] = {
    "header-name": r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$",
    "header-value": r"^(?:[^\x00-\x20\x7f](?:[^\x00-\x08\x0a-\x1f\x7f]*[^\x00-\x20\x7f])?)?$",
    "json-pointer": r"^(?:/(?:[^~]|~[01])*)?$",
    "metadata-name": r"^(?![0-9A-Za-z_.-]*-[bB][iI][nN]$)[0-9A-Za-z_.-]+$",
    "metadata-value": r"^(?:[!-~](?:[ -~]*[!-~])?)?$",
}
"""The formats of what a body may hold ten thousands of, as the fast validator reads them: a regular
expression without a call of Python's. There `$` is the end of the text alone.
"""
