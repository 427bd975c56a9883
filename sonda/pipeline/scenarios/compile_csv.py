"""`csv_replay`: a file's columns become entries of their own, its rows their ticks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from fractions import Fraction
from io import StringIO
from typing import Any, Final, TypeAlias, get_args

from sonda.pipeline.model import Severity
from sonda.pipeline.scenarios.compile_series import are_labels
from sonda.pipeline.scenarios.csv_heads import Header, read_header
from sonda.pipeline.scenarios.csv_replay import ReplayedValues, ReplaySchedule, RowMessages
from sonda.pipeline.scenarios.csv_table import (
    Rows,
    Times,
    Unreadable,
    read_numbers,
)
from sonda.pipeline.scenarios.generators import Generator
from sonda.pipeline.scenarios.limits import MOST_RATE, MOST_SERIES
from sonda.pipeline.scenarios.numbers import fraction, seconds
from sonda.pipeline.scenarios.reading import Path
from sonda.pipeline.scenarios.structure import Issues, Piece, Replay
from sonda.pipeline.text.escape import quote

CSV_REPLAY: Final = "csv_replay"
OpenText: TypeAlias = Callable[[str], AbstractContextManager[Iterable[str]]]
"""Opens a file, for its lines; raises `OSError` or `ValueError` with the reason."""
_NAME_IT: Final = "name it in columns (index {})"
_LABELS: Final = 'does not name one metric, with labels as in up{job="api"}'
_MESSAGE: Final = ("message", "msg", "line", "log", "body")
_SEVERITY: Final = ("severity", "level", "detected_level")
_SEVERITIES: Final[Mapping[str, Severity]] = {
    **{name: name for name in get_args(Severity)},
    "warning": "warn",
    "information": "info",
    "err": "error",
    "critical": "fatal",
}


def no_files(path: str) -> AbstractContextManager[Iterable[str]]:
    """Refuse to open a file."""
    raise OSError(f"no files can be read here: write the rows of {path} into csv")


def is_replay(written: Mapping[str, Any]) -> bool:
    """Return whether an entry replays a file."""
    kind = "log_generator" if written.get("signal_type") == "logs" else "generator"
    generator = written.get(kind)
    return isinstance(generator, dict) and generator.get("type") == CSV_REPLAY


@dataclass(frozen=True, slots=True)
class Column:
    """A column of numbers that becomes an entry."""

    place: int
    name: str
    labels: Mapping[str, str]


@dataclass(slots=True)
class ReplayReader:
    """Reads the rows that the entries of a document replay."""

    issues: Issues
    open_text: OpenText
    columns: int = 0
    """How many columns became entries so far."""

    def expand(self, pieces: Sequence[Piece]) -> list[Piece]:
        """Return the pieces, one for each column where an entry replays a file."""
        return [made for piece in pieces for made in self._expanded(piece)]

    def _expanded(self, piece: Piece) -> Sequence[Piece]:
        if not piece.is_sound or not is_replay(piece.written):
            return [piece]
        if self.columns > MOST_SERIES:  # which was said: there is nothing to read any more
            return [replace(piece, is_sound=False)]
        kind = "log_generator" if piece.written["signal_type"] == "logs" else "generator"
        where = (*piece.path, kind)
        written = piece.written[kind]
        source = self._source(written, where)
        if source is None:
            return [replace(piece, is_sound=False)]
        try:
            with self._lines(written) as lines:
                rows = Rows(lines)
                if kind == "generator":
                    return self._columns(piece, rows, where)
                columns = _log_columns(rows, written)
                times_ns, messages = read_messages(rows, columns)
                return [replace(piece, replay=Replay(times_ns, messages=messages))]
        except Unreadable as exc:
            self.issues.value((*where, *(exc.path or (source,))), str(exc))
        except (
            PermissionError
        ) as exc:  # the operator's; the system's own is no more than an OSError
            self.issues.forbid((*where, "file"), str(exc))
        except (OSError, ValueError) as exc:
            reason = f"cannot read {quote(written['file'])}: {exc}"
            self.issues.value((*where, "file"), reason)
        return [replace(piece, is_sound=False)]

    def _source(self, written: Mapping[str, Any], where: Path) -> str | None:
        """Return which field has the rows."""
        given = [name for name in ("file", "csv") if name in written]
        if len(given) == 1:
            return given[0]
        reason = (
            "unknown field 'csv': file stands in its place" if given else "missing field 'file'"
        )
        self.issues.structure(where, reason)
        return None

    def _lines(self, written: Mapping[str, Any]) -> AbstractContextManager[Iterable[str]]:
        if "csv" in written:
            return StringIO(written["csv"], newline="")
        return self.open_text(written["file"])

    def _columns(self, piece: Piece, rows: Rows, where: Path) -> Sequence[Piece]:
        written, before = piece.written, len(self.issues.values)
        columns = _metric_columns(rows, written["generator"], written["name"])
        self.columns += len(columns)
        if self.columns > MOST_SERIES:
            raise Unreadable(f"its columns make more than {MOST_SERIES:,} series: choose some")
        for number, one in enumerate(written["generator"].get("columns", ())):
            if one.get("labels"):
                at = (*where, "columns", number, "labels")
                are_labels(one["labels"], "metrics", at, self.issues)
        if len(self.issues.values) > before:
            return [replace(piece, is_sound=False)]
        times_ns, values = read_numbers(rows, {column.place for column in columns})
        made: list[Piece] = []
        for number, column in enumerate(columns, 1):
            labels = {**written.get("labels", {}), **column.labels}
            own = {**written, "name": column.name, **({"labels": labels} if labels else {})}
            if "id" in written and number > 1:
                own["id"] = f"{written['id']}_{number}"
            replay = Replay(times_ns, values=values[column.place])
            made.append(replace(piece, written=own, replay=replay))
        return made


def _place(rows: Rows, asked: Mapping[str, Any], number: int) -> int:
    """Return the column that *columns* asks for in this place, by its index or its head."""
    where = ("columns", number)
    if "index" in asked:
        place = int(asked["index"])
        if place >= rows.width:
            reason = f"there is no column {place}: the last one is {rows.width - 1}"
            raise Unreadable(reason, (*where, "index"))
        return place
    head = quote(asked["column"])
    found = rows.find(asked["column"])
    if found is None:
        known = ", ".join(map(quote, (rows.heads or ())[1:])) or "none: there is no head"
        raise Unreadable(f"there is no column {head}; there are {known}", (*where, "column"))
    if not found:
        reason = f"column {head} is the first, which holds the times"
        raise Unreadable(reason, (*where, "column"))
    return found


def _metric_columns(rows: Rows, written: Mapping[str, Any], name: str) -> list[Column]:
    """Return the columns that are asked for, or all, named by their heads."""
    asked = written.get("columns") or [{"index": place} for place in range(1, rows.width)]
    found: list[Column] = []
    for number, one in enumerate(asked):
        place = _place(rows, one, number)
        text = rows.head(place)
        head = read_header(text)
        own = one.get("name")
        if head is None and own is None and "{" in text:
            reason = f"column {place + 1} ({quote(text)}) {_LABELS}: {_NAME_IT.format(place)}"
            raise Unreadable(reason)
        if own is None and (head is None or (head.name is None and not head.labels)):
            if len(asked) > 1:
                shown = f" ({quote(text)})" if rows.heads else ""
                reason = f"column {place + 1}{shown} names no metric: {_NAME_IT.format(place)}"
                raise Unreadable(reason)
            head = Header(None, {})
        labels = {**(head.labels if head else {}), **one.get("labels", {})}
        found.append(Column(place, own or (head.name if head else None) or name, labels))
    return found


def _log_columns(rows: Rows, written: Mapping[str, Any]) -> dict[str, int]:
    """Return where the message, the severity and each field stand."""
    if "columns" in written:
        found = {}
        for number, one in enumerate(written["columns"]):
            place = _place(rows, one, number)
            found[one.get("name") or rows.head(place) or f"column_{place}"] = place
    else:
        found = {rows.head(place): place for place in range(1, rows.width)}
    for name, synonyms in (("message", _MESSAGE), ("severity", _SEVERITY)):
        spelled = next((one for known in synonyms for one in found if one.lower() == known), None)
        if spelled is not None:
            found[name] = found.pop(spelled)
    if "message" not in found:
        if rows.width > 2:  # noqa: PLR2004  # the times and the only other one
            raise Unreadable("has no column message: name one so in columns")
        found = {"message": 1}
    return found


def read_messages(rows: Rows, columns: Mapping[str, int]) -> tuple[Sequence[int], RowMessages]:
    """Return when each row is, in nanoseconds after the first, and what it says."""
    times = Times(rows)
    severity = columns.get("severity")
    kept = {name: place for name, place in columns.items() if name != "severity"}
    messages = RowMessages([name for name in kept if name != "message"])
    for place, row in enumerate(rows):
        times.add(row[0])
        said = "info" if severity is None else row[severity].strip().lower()
        level = _SEVERITIES.get(said)
        if level is None:
            known = ", ".join(get_args(Severity))
            reason = f"expected one of {known}, got {quote(row[severity or 0])}"
            raise Unreadable(f"{rows.where(place, severity or 0)}: {reason}")
        messages.add(level, {name: row[column] for name, column in kept.items()})
    return times.since_first_ns(), messages


def replay_schedule(piece: Piece, replay: Replay, issues: Issues) -> ReplaySchedule | None:
    """Return when the rows of a file are due; `None` where something is wrong."""
    written = piece.written
    kind = "log_generator" if written["signal_type"] == "logs" else "generator"
    options, where = written[kind], (*piece.path, kind)
    for name in ("gaps", "bursts"):
        if name in written:
            issues.value(
                (*piece.path, name), "does not go with csv_replay, whose file sets the pace"
            )
            return None
    repeat = options.get("repeat", True)
    if repeat and len(replay.times_ns) == 1:
        issues.value(
            (*where, "repeat"), "needs two rows, whose interval it goes on with: set it to false"
        )
        return None
    duration: Fraction | None = None
    if "duration" in written:
        try:
            duration = seconds(written["duration"])
        except ValueError as exc:
            issues.value((*piece.path, "duration"), str(exc))
            return None
    count = written.get("count")
    timescale = fraction(options.get("timescale", 1))
    schedule = ReplaySchedule(
        replay.times_ns, timescale, repeat, duration, None if count is None else int(count)
    )
    if schedule.peak_rate > MOST_RATE:
        issues.value((*where, "timescale"), f"makes more than {MOST_RATE:,} events a second")
        return None
    return schedule


def replaying(piece: Piece) -> Generator | None:
    """Return a generator of the numbers that an entry replays; `None` where it has another."""
    if piece.replay is None or piece.replay.values is None:
        return None
    shape = ReplayedValues(piece.replay.values)
    return Generator(lambda _parameters, _draw: shape)
