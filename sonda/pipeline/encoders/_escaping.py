"""Escaping the values of many labels."""

from __future__ import annotations

from collections.abc import Iterable
from operator import methodcaller
from typing import Any


def escape_all(texts: Iterable[str], escapes: dict[int, str]) -> list[str]:
    """Return *texts* with their special characters escaped; one look tells whether there are any."""
    texts = list(texts)
    together = "".join(texts)
    if any(chr(special) in together for special in escapes):
        translate: Any = methodcaller("translate", escapes)
        return list(map(translate, texts))
    return texts
