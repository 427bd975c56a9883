"""What turns bytes into decisions: the same bytes decide the same, and any bytes do."""

from __future__ import annotations

import codecs
import math
import string
import struct
from collections.abc import Sequence
from typing import Final, TypeVar

T = TypeVar("T")

_SPECIALS: Final = "\\\"'=,;[]{}<> \t\r\n\x00\x1b\x7f\x85\u2028\ufeffaé€😀#-1٣"
_TEXT: Final = "".join(map(chr, range(128))) + (_SPECIALS * 128)[:128]
_WILD_TEXT: Final = _TEXT[:-4] + "\ud800\udfff\ud83d\ude00"
_NAME: Final = ((string.ascii_letters + string.digits + "_") * 256)[:256]


class Choices:
    """Decides by one byte after the other; when they are used up, all decisions are the plainest.

    It is *wild* for one body in four: only then something is off the schemas' path.
    """

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._at = 0
        self.wild = self.odds(4)

    def below(self, bound: int) -> int:
        """Choose a number from 0 up to *bound*, which it does not reach."""
        taken = self.take(1 if bound <= 256 else 4)
        return int.from_bytes(taken, "little") % bound

    def odds(self, against: int) -> bool:
        """Say yes once in so many times, up to 256."""
        taken = self.take(1)
        return bool(taken) and taken[0] * against >= 256 * (against - 1)

    def astray(self, against: int) -> bool:
        """Say yes once in so many times, but never for a body that is not wild."""
        return self.wild and self.odds(against)

    def one_of(self, things: Sequence[T]) -> T:
        """Choose one of some things."""
        return things[self.below(len(things))]

    def take(self, count: int) -> bytes:
        """Take the next bytes themselves, as far as there are any."""
        taken = self._raw[self._at : self._at + count]
        self._at += count
        return taken

    def rest(self) -> bytes:
        """Take all the bytes that are left."""
        return self.take(len(self._raw))

    def text(self) -> str:
        """Make a text, most of it of what some format must escape; rarely a long one."""
        length = self.below(12)
        table = _WILD_TEXT if self.wild else _TEXT
        text = codecs.charmap_decode(self.take(length), "strict", table)[0]
        return text * (1 + self.below(9_000)) if self.astray(100) else text

    def name(self) -> str:
        """Make a name that labels can have."""
        return "l" + codecs.charmap_decode(self.take(self.below(4)), "strict", _NAME)[0]

    def double(self) -> float:
        """Make any finite double."""
        (value,) = struct.unpack("<d", self.take(8).ljust(8, b"\x00"))
        return float(value) if math.isfinite(value) else 0.5
