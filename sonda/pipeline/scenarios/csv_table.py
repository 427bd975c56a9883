"""A CSV file with times in its first column, as monitoring tools export it.

Times are seconds, milliseconds, microseconds or nanoseconds since the epoch (or since anything: the
first row is 0), RFC 3339, or `2026-01-31 12:00:00`, which is read as UTC.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import isfinite
from typing import Final

from sonda.pipeline.scenarios.numbers import NS_PER_S
from sonda.pipeline.text.escape import quote
from sonda.pipeline.values.timestamps import parse_rfc3339

MOST_BYTES: Final = 1 << 28
"""The most that a file of rows may be long."""
_SEPARATOR: Final = re.compile(r"sep=(.)\r?\n")
_LOCAL: Final = re.compile(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d(?:\.\d{1,9})?)", re.ASCII)
_NUMBER: Final = re.compile(r"-?\d{1,19}(?:\.\d{1,9})?", re.ASCII)
_UNITS_NS: Final = ((10**11, NS_PER_S), (10**14, 10**6), (10**17, 10**3))  # below: unit
_HEADER: Final = re.compile(r"\s*([a-zA-Z_:][a-zA-Z0-9_:]*)?\s*(?:\{(.*)\})?\s*", re.DOTALL)
_PAIR: Final = re.compile(
    r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(,|$)', re.DOTALL
)
_ESCAPES: Final = {"n": "\n"}


class Unreadable(Exception):  # noqa: N818  # it is an answer: the text says what is wrong, and where
    """The text is no table that can be replayed."""


@dataclass(frozen=True, slots=True)
class Header:
    """What the head of a column says of a metric: its name, its labels."""

    name: str | None
    labels: dict[str, str]


def read_header(text: str) -> Header | None:
    """Read `up`, `up{job="x"}` or `{__name__="up", job="x"}`; `None` if it is none of these."""
    match = _HEADER.fullmatch(text)
    if match is None:
        return None
    name, inside = match.groups()
    labels: dict[str, str] = {}
    place, inside = 0, (inside or "").strip()
    while place < len(inside):
        pair = _PAIR.match(inside, place)
        if pair is None:
            return None
        labels[pair[1]] = re.sub(r"\\(.)", lambda one: _ESCAPES.get(one[1], one[1]), pair[2])
        place = pair.end()
    name = labels.pop("__name__", name)
    return Header(None if name in ("Value", "value") else name, labels)


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of a CSV file; *heads* are the heads of its columns, the first that of the times."""

    heads: Sequence[str] | None
    rows: Sequence[Sequence[str]]
    numbers: Sequence[int]
    """The number of each row in the file; that of the head is 1."""

    @property
    def width(self) -> int:
        return len(self.rows[0])

    def head(self, column: int) -> str:
        """Return what stands over a column."""
        return self.heads[column] if self.heads else ""

    def where(self, place: int, column: int) -> str:
        """Return where a cell is, in words."""
        name = f" ({quote(self.head(column))})" if self.heads else ""
        return f"row {self.numbers[place]}, column {column + 1}{name}"

    def find(self, head: str) -> int | None:
        """Return the column with this head."""
        return self.heads.index(head) if self.heads and head in self.heads else None

    def cells(self, column: int) -> Iterator[tuple[int, str]]:
        """Yield each row's place and its cell in a column."""
        for place, row in enumerate(self.rows):
            yield place, row[column]

    def times_ns(self) -> list[int]:
        """Return when each row is, in nanoseconds after the first; raises `Unreadable`."""
        first = self.rows[0][0].strip()
        read = self._numeric_times() if _NUMBER.fullmatch(first) else self._written_times()
        for place in range(1, len(read)):
            if read[place] <= read[place - 1]:
                raise Unreadable(f"{self.where(place, 0)}: is not later than the row before")
        return [time - read[0] for time in read]

    def _numeric_times(self) -> list[int]:
        found: list[int] = []
        for place, cell in self.cells(0):
            text = cell.strip()
            if not _NUMBER.fullmatch(text):
                raise Unreadable(f"{self.where(place, 0)}: {_no_time(cell)}")
            found.append(int(Decimal(text).scaleb(9)) if "." in text else int(text) * NS_PER_S)
        most = max(map(abs, found)) // NS_PER_S
        unit_ns = next((unit for below, unit in _UNITS_NS if most < below), 1)
        return [time * unit_ns // NS_PER_S for time in found]

    def _written_times(self) -> list[int]:
        return [self._written_time(place, cell) for place, cell in self.cells(0)]

    def _written_time(self, place: int, cell: str) -> int:
        try:
            return read_time(cell)
        except ValueError:
            raise Unreadable(f"{self.where(place, 0)}: {_no_time(cell)}") from None

    def values(self, column: int) -> list[float]:
        """Return a column's numbers; raises `Unreadable`."""
        found: list[float] = []
        for place, cell in self.cells(column):
            value = _number(cell)
            if value is None:
                reason = f"expected a finite number, got {quote(cell)}"
                raise Unreadable(f"{self.where(place, column)}: {reason}")
            found.append(value)
        return found


def _number(cell: str) -> float | None:
    """Return a finite number; `None` if it is none."""
    try:
        value = float(cell)
    except ValueError:
        return None
    return None if "_" in cell or not isfinite(value) else value


def _no_time(cell: str) -> str:
    return f"expected a time (a number, RFC 3339 or 2026-01-31 12:00:00), got {quote(cell)}"


def read_time(cell: str) -> int:
    """Return a written time in nanoseconds; raises `ValueError`."""
    text = cell.strip()
    local = _LOCAL.fullmatch(text)
    return parse_rfc3339(f"{local[1]}T{local[2]}Z" if local else text)


def _is_time(cell: str) -> bool:
    try:
        return bool(_NUMBER.fullmatch(cell.strip())) or read_time(cell) >= 0
    except ValueError:
        return False


def read_table(text: str) -> Table:
    """Read a table from its text; raises `Unreadable`."""
    text = text.removeprefix("\ufeff")
    separator = _SEPARATOR.match(text)
    text, delimiter = (text[separator.end() :], separator[1]) if separator else (text, ",")
    rows: list[Sequence[str]] = []
    numbers: list[int] = []
    heads: Sequence[str] | None = None
    width = number = 0
    try:
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True):
            number += 1
            if not row:
                continue
            if not width:
                width = len(row)
                if not _is_time(row[0]):
                    heads = row
                    continue
            if len(row) != width:
                raise Unreadable(f"row {number} has {len(row)} cells, and the first {width}")
            rows.append(row)
            numbers.append(number)
    except csv.Error as exc:
        raise Unreadable(f"row {number + 1}: {exc}") from None
    if not rows:
        raise Unreadable("holds no row")
    if width < 2:  # noqa: PLR2004  # the times, and something
        raise Unreadable("needs a second column: the first holds the times")
    return Table(heads, rows, numbers)
