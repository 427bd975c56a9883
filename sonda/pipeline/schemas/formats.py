"""The `format`s of our schemas: each gives its value back or raises `ValueError` with the reason."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from sonda.pipeline.values.addresses import check_host, parse_address, parse_http_url
from sonda.pipeline.values.timestamps import parse_rfc3339

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")  # all but the tab
_METADATA_NAME: Final = re.compile(r"[0-9A-Za-z_.-]+")
_PRINTABLE: Final = re.compile(r"[ -~]*")


def header_name(text: str) -> str:
    """An HTTP field name."""
    if not _TOKEN.fullmatch(text):
        raise ValueError("expected an HTTP header name")
    return text


def header_value(text: str) -> str:
    """An HTTP field value; anything beyond ASCII goes out as UTF-8."""
    if _CONTROL.search(text):
        raise ValueError("a header value holds no control characters such as CR, LF or NUL")
    if text != text.strip(" \t"):
        raise ValueError("a header value neither starts nor ends with a blank")
    return text


def metadata_name(text: str) -> str:
    """A gRPC metadata key, without the binary ones."""
    if not _METADATA_NAME.fullmatch(text):
        raise ValueError("expected a gRPC metadata name")
    if text.lower().endswith("-bin"):
        raise ValueError("binary metadata (-bin) is not supported")
    return text


def metadata_value(text: str) -> str:
    """A gRPC metadata value."""
    if not _PRINTABLE.fullmatch(text):
        raise ValueError("a metadata value is printable ASCII")
    return header_value(text)


def brokers(text: str) -> list[str]:
    """Kafka's bootstrap servers, separated by commas."""
    listed = [broker.strip() for broker in text.split(",")]
    for broker in listed:
        parse_address(broker)
    return listed


def json_pointer(text: str) -> str:
    """A JSON Pointer; spec: RFC 6901."""
    from jsonpointer import JsonPointer, JsonPointerException  # few events name one

    try:
        JsonPointer(text)
    except JsonPointerException:
        raise ValueError("expected a JSON Pointer such as /errors or /items/0/status") from None
    return text


FORMATS: Final[dict[str, Callable[[str], object]]] = {
    "instant": parse_rfc3339,
    "host-name": check_host,
    "host-port": parse_address,
    "http-url": parse_http_url,
    "header-name": header_name,
    "header-value": header_value,
    "metadata-name": metadata_name,
    "metadata-value": metadata_value,
    "brokers": brokers,
    "json-pointer": json_pointer,
}
