"""A document as others may see it: credentials are `***`."""

from __future__ import annotations

import re
from typing import Any, Final

from sonda.pipeline.text.escape import hide_userinfo

MASK: Final = "***"
_SECRET_KEYS: Final = re.compile(r"password|secret|token|api_?key", re.IGNORECASE)
_TARGETS: Final = ("url", "endpoint", "address", "brokers")


def masked(value: Any, key: str = "") -> Any:
    """Return a copy of a document in which header values, passwords and userinfo are `***`."""
    match value:
        case dict() if key == "headers":
            return dict.fromkeys(value, MASK)
        case dict():
            return {name: masked(inner, name) for name, inner in value.items()}
        case list():
            return [masked(inner, key) for inner in value]
        case str() if key in _TARGETS:
            return hide_userinfo(value)
        case str() if _SECRET_KEYS.search(key):
            return MASK
        case _:
            return value
