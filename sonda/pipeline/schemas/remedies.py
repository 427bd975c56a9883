"""Remedies for small slips, in brackets at the end of an issue's text, or nothing."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Final

LONGEST_SLIP: Final = 64
_ALIKE: Final = 0.75
_SHORTEST_PREFIX: Final = 3
_BREAKS: Final = re.compile(r"[\s-]+")
_NOT_IN_A_LABEL: Final = re.compile(r"[^a-zA-Z0-9_]+")


def did_you_mean(
    written: str, expected: Iterable[str], synonyms: Mapping[str, str] | None = None
) -> str:
    """Return which of the names *expected* was most likely meant by what is *written*."""
    name = _meant(written, list(expected), synonyms or {})
    return f" (did you mean '{name}'?)" if name else ""


def _meant(written: str, expected: Collection[str], synonyms: Mapping[str, str]) -> str | None:
    if not 0 < len(written) <= LONGEST_SLIP:
        return None
    word = _BREAKS.sub("_", written.strip().casefold())
    if word in expected:
        return word
    if word in synonyms:
        return synonyms[word]
    from difflib import get_close_matches  # only for a body that is wrong

    if len(word) >= _SHORTEST_PREFIX:
        begun = [name for name in expected if name.startswith(word) or word.startswith(name)]
        if len(begun) == 1:
            return begun[0]
    return next(iter(get_close_matches(word, expected, n=1, cutoff=_ALIKE)), None)


def try_label(name: str) -> str:
    """Return the valid label name that is closest to *name*."""
    if len(name) > LONGEST_SLIP:
        return ""
    label = _NOT_IN_A_LABEL.sub("_", name).strip("_")
    if not label:
        return ""
    return f" (try _{label})" if label[0].isdigit() else f" (try {label})"
