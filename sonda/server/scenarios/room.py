"""The limits on the scenarios of a server: entries and events per second, all runs together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from sonda.pipeline.scenarios.numbers import as_number
from sonda.pipeline.scenarios.plan import Entry
from sonda.server.scenarios.refusals import Refusal


@dataclass(frozen=True, slots=True)
class Room:
    """The most entries that may be active, and the most events per second, bursts included."""

    max_scenarios: int
    max_rate: int

    def check(self, asked: Sequence[Entry], in_use: Sequence[Entry]) -> None:
        """Raise `Refusal` where there is no room for the entries *asked* beside those *in_use*."""
        most, count = self.max_scenarios, len(asked)
        if count > most:
            raise Refusal(
                422, f"{count} entries; this server runs at most {most} (--max-scenarios)"
            )
        if len(in_use) + count > most:
            raise Refusal(
                429,
                f"{len(in_use)} of {most} entries are in use, {count} more are asked for "
                "(--max-scenarios)",
            )
        used, wanted = _peak(in_use), _peak(asked)
        if used + wanted > self.max_rate:
            raise Refusal(
                429,
                f"{as_number(used):g} of {self.max_rate} events/s are in use, "
                f"{as_number(wanted):g} more are asked for (--max-rate)",
            )


def _peak(entries: Sequence[Entry]) -> Fraction:
    return sum((entry.schedule.peak_rate for entry in entries), Fraction(0))
