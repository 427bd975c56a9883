"""What was typed, as the UTF-8 text that it is whatever the locale.

Python reads arguments and variables in the locale's encoding, and keeps each byte that it has not
as a lone surrogate (PEP 383).
"""

from __future__ import annotations

from typing import Any

import click


def as_utf8(typed: Any) -> Any:
    """Return a value with its texts read as UTF-8; raise `click.UsageError` where one is none."""
    match typed:
        case str():
            return _read(typed)
        case dict():
            return {as_utf8(name): as_utf8(value) for name, value in typed.items()}
        case tuple():
            return tuple(map(as_utf8, typed))
        case _:
            return typed


def _read(text: str) -> str:
    if text.isascii():
        return text
    try:
        return text.encode(errors="surrogateescape").decode()
    except UnicodeDecodeError as exc:
        where = f"byte {exc.start + 1} of {len(exc.object)}"
        raise click.UsageError(f"what was typed is not UTF-8 at {where}") from None
