"""The most that a document may ask for."""

from __future__ import annotations

from typing import Final

MOST_SERIES: Final = 10_000
"""Of a whole document."""
MOST_RATE: Final = 1_000_000
"""Events per second of an entry, its bursts and all its series included."""
