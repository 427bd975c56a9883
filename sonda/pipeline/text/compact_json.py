"""JSON without spaces, also of texts that UTF-8 cannot carry."""

from __future__ import annotations

import json

import msgspec


def compact(document: object) -> bytes:
    r"""Return JSON without spaces, as UTF-8; a lone surrogate, which UTF-8 lacks, as `\ud800`."""
    try:
        return msgspec.json.encode(document)
    except UnicodeEncodeError:
        return compact_text(document).encode(errors="backslashreplace")


def compact_text(document: object) -> str:
    """Return JSON without spaces, on one line; all characters, and lone surrogates, as they are."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))
