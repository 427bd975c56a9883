"""What the log says of a run: its start, the first problem of each text, and its end."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from sonda.pipeline.text.escape import quote

_LOG: Final = logging.getLogger("sonda")
_MOST_TEXTS: Final = 10
_TEXT_CHARACTERS: Final = 1000


class RunLog:
    """Writes the lines of one run."""

    def __init__(self, run_id: str, name: str, owner: str) -> None:
        self._who = f"scenario={run_id} name={quote(name)}" + (
            f" key={quote(owner)}" if owner else ""
        )
        self._said: set[str] = set()

    def began(self, entries: int, planned: int | None) -> None:
        """Write that the run has begun."""
        shown = "unlimited" if planned is None else planned
        _LOG.info("%s state=running entries=%d planned=%s", self._who, entries, shown)

    def problem(self, entry: str, text: str) -> None:
        """Write what is wrong, once for each text."""
        if text not in self._said:
            self._said.add(text)
            _LOG.warning("%s entry=%s problem=%s", self._who, entry, _shown(text))

    def unrecorded(self, exc: Exception) -> None:
        """Write that nothing is handed over for the time being."""
        _LOG.error("%s nothing is handed over while it cannot be recorded: %s", self._who, exc)

    def recorded_again(self) -> None:
        """Write that events are handed over again."""
        _LOG.info("%s is recorded again", self._who)

    def ended(self, detail: Mapping[str, Any]) -> None:
        """Write the ledger, and how often each text was said."""
        columns = " ".join(
            f"{name}={value}" for name, value in detail["ledger"].items() if value is not None
        )
        _LOG.info("%s state=finished outcome=%s %s", self._who, detail["outcome"], columns)
        counts: Counter[str] = Counter()
        for entry in detail["scenarios"]:
            for problem in entry["problems"]:
                counts[problem["text"]] += problem["count"]
        for text, count in counts.most_common(_MOST_TEXTS):
            _LOG.warning("%s count=%d problem=%s", self._who, count, _shown(text))


def _shown(text: str) -> str:
    return quote(text, _TEXT_CHARACTERS)
