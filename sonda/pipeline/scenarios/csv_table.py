"""A CSV file with times in its first column, as monitoring tools export it.

Times are seconds, milliseconds, microseconds or nanoseconds since the epoch (or since anything: the
first row is 0), RFC 3339, or `2026-01-31 12:00:00`, which is read as UTC. Rows are read one by one:
a long file needs no more memory than what is kept of it.
"""

from __future__ import annotations

import csv
import re
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice, repeat
from math import isfinite
from operator import lt
from typing import Final

from sonda.pipeline.scenarios.numbers import NS_PER_S
from sonda.pipeline.scenarios.reading import Path
from sonda.pipeline.text.escape import quote
from sonda.pipeline.values.timestamps import parse_rfc3339

MOST_BYTES: Final = 1 << 28
"""The most that a file of rows may be long."""
_CHUNK: Final = 1024  # rows that are read together
_KNOWN_TIMES: Final = "a number, RFC 3339 or 2026-01-31 12:00:00"
_SEPARATOR: Final = re.compile(r'sep=([^\w\s"]|\t)(?:\r\n?|\n)')
_QUOTED: Final = re.compile(r'"[^"]*"?')
_DELIMITERS: Final = (",", ";", "\t")
_LOCAL: Final = re.compile(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d(?:\.\d{1,9})?)", re.ASCII)
_NUMBER: Final = re.compile(r"(-?)(\d{1,18}|[0-8]\d{18})(?:\.(\d{1,9}))?", re.ASCII)
_is_integer: Final = re.compile(r"\d{1,18}", re.ASCII).fullmatch
_WITH_COMMA: Final = re.compile(r"[+-]?\d[\d.\s]*(,\d+)+([.]\d+)?", re.ASCII)
_WITH_UNIT: Final = re.compile(r"[+-]?\d+([.]\d+)?\s*[^\W\d_]|[+-]?\d+([.]\d+)?\s*[%°$€]")
_UNITS_NS: Final = ((10**11, NS_PER_S), (10**14, 10**6), (10**17, 10**3))  # below: unit


class Unreadable(Exception):  # noqa: N818  # it is an answer: the text says what is wrong, and where
    """The text is no table that can be replayed; *path* is what asked for what is not there."""

    def __init__(self, reason: str, path: Path = ()) -> None:
        super().__init__(reason)
        self.path = path


class Rows:
    """The rows of a CSV text, which are read once, one by one.

    *heads* are the heads of its columns, the first that of the times; raises `Unreadable`.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        self.heads: Sequence[str] | None = None
        self.width = 0
        self._first = 0  # the number of the first row; that of a head is 1
        self._skipped: array[int] = array("q")  # before which rows there are blank ones
        self._read = self._cells(lines)
        first = next(self._read, None)
        if first is None:
            raise Unreadable("holds no row")
        if self.width < 2:  # noqa: PLR2004  # the times, and something
            raise Unreadable("needs a second column: the first holds the times")
        self._rows = chain([first], self._read)

    def __iter__(self) -> Iterator[Sequence[str]]:
        return self._rows

    def head(self, column: int) -> str:
        """Return what stands over a column."""
        return self.heads[column] if self.heads else ""

    def where(self, place: int, column: int) -> str:
        """Return where a cell is, in words."""
        name = f" ({quote(self.head(column))})" if self.heads else ""
        number = self._first + place + bisect_right(self._skipped, place)
        return f"row {number}, column {column + 1}{name}"

    def find(self, head: str) -> int | None:
        """Return the column with this head."""
        return self.heads.index(head) if self.heads and head in self.heads else None

    def _cells(self, lines: Iterable[str]) -> Iterator[Sequence[str]]:
        number = count = 0
        try:
            for row in _reader(lines):
                number += 1
                if not row:
                    if self._first:
                        self._skipped.append(count)
                    continue
                if not self._first:
                    if self.heads is None and not _is_time(row[0]):
                        self.heads, self.width = row, len(row)
                        continue
                    self._first, self.width = number, self.width or len(row)
                if len(row) != self.width:
                    reason = f"row {number} has {len(row)} cells, and the first {self.width}"
                    raise Unreadable(reason)
                yield row
                count += 1
        except csv.Error as exc:
            raise Unreadable(f"row {number + 1}: {exc}") from None
        except UnicodeDecodeError:
            raise Unreadable(f"is not UTF-8, in a row after {number}") from None


def _reader(lines: Iterable[str]) -> Iterator[Sequence[str]]:
    """Yield the rows of a text, split by what its first line says."""
    text = iter(lines)
    first = next(text, "").removeprefix("\ufeff")
    separator = _SEPARATOR.fullmatch(first)
    if separator is None:
        yield from csv.reader(chain([first], text), delimiter=_delimiter(first), strict=True)
    else:
        yield from csv.reader(text, delimiter=separator[1], strict=True)


def _delimiter(first: str) -> str:
    """Return what separates the cells of a first line: a comma, where it has one outside of quotes."""
    bare = _QUOTED.sub("", first)
    return next((one for one in _DELIMITERS if one in bare), ",")


class Times:
    """The times of rows as they come, which have to ascend; the first one says how they are written."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._is_numeric = False
        self._whole: array[int] = array("q")
        self._billionths: array[int] = array("q")

    def add(self, cell: str) -> None:
        """Read the next row's time; raises `Unreadable`."""
        whole, billionths = self._parsed(cell)
        before = (self._whole[-1], self._billionths[-1]) if self._whole else None
        if before is not None and (whole, billionths) <= before:
            raise self._wrong(len(self._whole), "is not later than the row before")
        self._whole.append(whole)
        self._billionths.append(billionths)

    def extend(self, cells: Sequence[str]) -> None:
        """Read the times of the next rows; raises `Unreadable`."""
        whole: list[int] = []
        if self._whole and self._is_numeric and all(map(_is_integer, cells)):
            whole = list(map(int, cells))
        if whole and all(map(lt, chain(self._whole[-1:], whole), whole)):
            self._whole.extend(whole)
            self._billionths.extend(repeat(0, len(whole)))
        else:
            for cell in cells:
                self.add(cell)

    def since_first_ns(self) -> array[int]:
        """Return when each row is, in nanoseconds after the first; raises `Unreadable`."""
        unit_ns = 1
        if self._is_numeric:
            most = max(abs(self._whole[0]), abs(self._whole[-1]))
            unit_ns = next((unit for below, unit in _UNITS_NS if most < below), 1)
        found: array[int] = array("q")
        first, last = None, -1
        for place, whole in enumerate(self._whole):
            time_ns = whole * unit_ns + self._billionths[place] * unit_ns // NS_PER_S
            first = time_ns if first is None else first
            if time_ns - first <= last:
                raise self._wrong(place, "is not a nanosecond later than the row before")
            last = time_ns - first
            try:
                found.append(last)
            except OverflowError:
                raise self._wrong(place, "is more than 292 years after the first row") from None
        return found

    def _parsed(self, cell: str) -> tuple[int, int]:
        number = _NUMBER.fullmatch(cell.strip())
        if not self._whole:
            self._is_numeric = number is not None
        if self._is_numeric and number is not None:
            sign, whole, part = number.groups()
            billionths = int(part.ljust(9, "0")) if part else 0
            return (-int(whole), -billionths) if sign else (int(whole), billionths)
        try:
            if not self._is_numeric:
                return read_time(cell), 0
        except ValueError:
            pass
        reason = f"expected a time ({_KNOWN_TIMES}), got {quote(cell)}"
        raise self._wrong(len(self._whole), reason)

    def _wrong(self, place: int, reason: str) -> Unreadable:
        return Unreadable(f"{self._rows.where(place, 0)}: {reason}")


def read_numbers(rows: Rows, columns: Iterable[int]) -> tuple[array[int], dict[int, array[float]]]:
    """Return when each row is, and the numbers of some columns; raises `Unreadable`."""
    times = Times(rows)
    values: dict[int, array[float]] = {column: array("d") for column in columns}
    place = 0
    while chunk := list(islice(rows, _CHUNK)):
        times.extend([row[0] for row in chunk])
        for column, found in values.items():
            cells = [row[column] for row in chunk]
            try:
                found.extend(_numbers(cells))
            except ValueError:
                wrong = next(one for one, cell in enumerate(cells) if not _is_number(cell))
                reason = (
                    f"expected a finite number, got {quote(cells[wrong])}{_remedy(cells[wrong])}"
                )
                raise Unreadable(f"{rows.where(place + wrong, column)}: {reason}") from None
        place += len(chunk)
    return times.since_first_ns(), values


def _numbers(cells: Sequence[str]) -> list[float]:
    """Return finite numbers; raises `ValueError` if one is none."""
    text = "".join(cells)
    found = list(map(float, cells))
    if "_" in text or not text.isascii() or not all(map(isfinite, found)):
        raise ValueError(text)
    return found


def _remedy(cell: str) -> str:
    """Return in brackets what may help with a cell that is no finite number."""
    if not cell.strip():
        return " (fill the cell, or leave the row out)"
    if _WITH_COMMA.fullmatch(cell.strip()):
        return " (write the decimals after a point, and no thousands apart)"
    if _WITH_UNIT.match(cell.strip()):
        return " (export without units: in Grafana, without 'Formatted data')"
    return ""


def _is_number(cell: str) -> bool:
    try:
        _numbers([cell])
    except ValueError:
        return False
    return True


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
