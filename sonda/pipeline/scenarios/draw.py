"""Counter-based drawing: any tick's random word at once, without state.

A stream is keyed by a hash of the seed, the entry's id and the purpose. Word k of a stream is word
k mod 8 of BLAKE2b, keyed, of k // 8. The algorithm is frozen (docs/adr/0012-draws.md): people keep
seeds, and a seed has to mean the same data for ever.
"""

from __future__ import annotations

import json
import sys
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from struct import Struct
from typing import Final

U_BITS: Final = 53
_WORDS: Final = 8  # of 64 bits in a block of BLAKE2b
_NUMBER_BYTES: Final = 16
_BLOCK: Final = Struct(f"<{_WORDS}Q")
_UNUSED_BITS: Final = 64 - U_BITS


@dataclass(frozen=True, slots=True)
class Draw:
    """One stream of random words."""

    key: bytes

    def word(self, counter: int) -> int:
        """Return the 64 random bits that belong to *counter*."""
        return self._block(counter // _WORDS)[counter % _WORDS]

    def words(self, counters: range) -> Sequence[int]:
        """Return the words of a range of counters whose step is 1."""
        if not counters:
            return ()
        first, last = counters[0] // _WORDS, counters[-1] // _WORDS
        keyed, blocks = blake2b(key=self.key), list[bytes]()
        for number in range(first, last + 1):
            one = keyed.copy()  # which takes less than a key anew
            one.update(number.to_bytes(_NUMBER_BYTES, "little"))
            blocks.append(one.digest())
        drawn = array("Q", b"".join(blocks))
        if sys.byteorder == "big":
            drawn.byteswap()
        skipped = counters[0] - first * _WORDS
        return drawn[skipped : skipped + len(counters)].tolist()

    def block(self, number: int) -> bytes:
        """Return the 64 bytes of a block of eight words."""
        return blake2b(number.to_bytes(_NUMBER_BYTES, "little"), key=self.key).digest()

    def _block(self, number: int) -> tuple[int, ...]:
        return _BLOCK.unpack(self.block(number))

    def fractions(self, counters: range) -> list[int]:
        """Return 53-bit integers: each, divided by 2^53, is uniform in [0, 1)."""
        return [word >> _UNUSED_BITS for word in self.words(counters)]

    def fraction(self, counter: int) -> int:
        """Return the 53-bit integer of one counter."""
        return self.word(counter) >> _UNUSED_BITS

    def choices(self, counters: range, count: int) -> list[int]:
        """Return for each counter an index below *count*."""
        return [word * count >> 64 for word in self.words(counters)]

    def choice(self, counter: int, count: int) -> int:
        """Return the index below *count* of one counter."""
        return self.word(counter) * count >> 64


def draw(seed: int, entry_id: str, purpose: str, series: Mapping[str, str] | None = None) -> Draw:
    """Return the stream for one *purpose* ("value", "jitter", "severity", "pool:NAME") of an entry.

    Each series of a fleet has streams of its own, by the labels that tell it from the others.
    """
    subject = [seed, entry_id, purpose, *([dict(series)] if series else [])]
    named = json.dumps(subject, separators=(",", ":"), sort_keys=True)
    return Draw(blake2b(named.encode(), person=b"sonda draw v1").digest())
