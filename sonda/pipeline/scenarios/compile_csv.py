"""`csv_replay`: a file's columns become entries of their own, its rows their ticks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Final, TypeAlias, get_args

from sonda.pipeline.model import Severity
from sonda.pipeline.scenarios.csv_replay import ReplayedValues, ReplaySchedule
from sonda.pipeline.scenarios.csv_table import Header, Table, Unreadable, read_header, read_table
from sonda.pipeline.scenarios.generators import Generator
from sonda.pipeline.scenarios.limits import MOST_RATE
from sonda.pipeline.scenarios.log_generators import Message
from sonda.pipeline.scenarios.numbers import fraction, seconds
from sonda.pipeline.scenarios.reading import Path
from sonda.pipeline.scenarios.structure import Issues, Piece, Replay
from sonda.pipeline.text.escape import quote

CSV_REPLAY: Final = "csv_replay"
ReadText: TypeAlias = Callable[[str], str]
"""Returns a file's text; raises `OSError` or `ValueError` with the reason."""
_MESSAGE: Final = ("message", "msg", "line", "log", "body")
_SEVERITY: Final = ("severity", "level", "detected_level")
_SEVERITIES: Final[Mapping[str, Severity]] = {
    **{name: name for name in get_args(Severity)},
    "warning": "warn",
    "information": "info",
    "err": "error",
    "critical": "fatal",
}


def no_files(path: str) -> str:
    """Refuse to read a file."""
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
    """Reads the files of a document, each once."""

    issues: Issues
    read_text: ReadText

    def expand(self, pieces: Sequence[Piece]) -> list[Piece]:
        """Return the pieces, one for each column where an entry replays a file."""
        return [made for piece in pieces for made in self._expanded(piece)]

    def _expanded(self, piece: Piece) -> Iterator[Piece]:
        if not piece.is_sound or not is_replay(piece.written):
            yield piece
            return
        kind = "log_generator" if piece.written["signal_type"] == "logs" else "generator"
        where = (*piece.path, kind)
        written = piece.written[kind]
        try:
            table = self._table(written, where)
            if table is None:
                yield replace(piece, is_sound=False)
            elif kind == "generator":
                yield from self._columns(piece, table)
            else:
                columns = _log_columns(table, written)
                yield replace(
                    piece, replay=Replay(table.times_ns(), messages=_messages(table, columns))
                )
        except Unreadable as exc:
            self.issues.value((*where, "file" if "file" in written else "csv"), str(exc))
            yield replace(piece, is_sound=False)

    def _table(self, written: Mapping[str, Any], where: Path) -> Table | None:
        given = [name for name in ("file", "csv") if name in written]
        if len(given) != 1:
            reason = (
                "unknown field 'csv': file stands in its place" if given else "missing field 'file'"
            )
            self.issues.structure(where, reason)
            return None
        if given == ["csv"]:
            return read_table(written["csv"])
        try:
            text = self.read_text(written["file"])
        except (OSError, ValueError) as exc:
            self.issues.value((*where, "file"), f"cannot read {quote(written['file'])}: {exc}")
            return None
        return read_table(text)

    def _columns(self, piece: Piece, table: Table) -> Iterator[Piece]:
        written = piece.written
        columns = _metric_columns(table, written["generator"], written["name"])
        times_ns = table.times_ns()
        for number, column in enumerate(columns, 1):
            labels = {**written.get("labels", {}), **column.labels}
            own = {**written, "name": column.name, **({"labels": labels} if labels else {})}
            if "id" in written and number > 1:
                own["id"] = f"{written['id']}_{number}"
            replay = Replay(times_ns, values=table.values(column.place))
            yield replace(piece, written=own, replay=replay)


def _place(table: Table, asked: Mapping[str, Any]) -> int:
    """Return the column that is asked for by its index or its head."""
    if "index" in asked:
        place = int(asked["index"])
        if place >= table.width:
            raise Unreadable(f"has no column {place}: the last one is {table.width - 1}")
        return place
    found = table.find(asked["column"])
    if found is None:
        known = (
            ", ".join(quote(head) for head in (table.heads or ())[1:]) or "none: there is no head"
        )
        raise Unreadable(f"has no column {quote(asked['column'])}; there are {known}")
    if not found:
        raise Unreadable(f"column {quote(asked['column'])} is the first, which holds the times")
    return found


def _metric_columns(table: Table, written: Mapping[str, Any], name: str) -> list[Column]:
    """Return the columns that are asked for, or all, named by their heads."""
    asked = written.get("columns") or [{"index": place} for place in range(1, table.width)]
    found: list[Column] = []
    for one in asked:
        place = _place(table, one)
        head = read_header(table.head(place))
        own = one.get("name")
        if own is None and (head is None or (head.name is None and not head.labels)):
            if len(asked) > 1:
                text = f" ({quote(table.head(place))})" if table.heads else ""
                raise Unreadable(f"column {place}{text} names no metric: name it in columns")
            head = Header(None, {})
        labels = {**(head.labels if head else {}), **one.get("labels", {})}
        found.append(Column(place, own or (head.name if head else None) or name, labels))
    return found


def _log_columns(table: Table, written: Mapping[str, Any]) -> dict[str, int]:
    """Return where the message, the severity and each field stand."""
    if "columns" in written:
        found = {}
        for one in written["columns"]:
            place = _place(table, one)
            found[one.get("name") or table.head(place) or f"column_{place}"] = place
    else:
        found = {table.head(place): place for place in range(1, table.width)}
    for name, synonyms in (("message", _MESSAGE), ("severity", _SEVERITY)):
        spelled = next((one for known in synonyms for one in found if one.lower() == known), None)
        if spelled is not None:
            found[name] = found.pop(spelled)
    if "message" not in found:
        if table.width > 2:  # noqa: PLR2004  # the times and the only other one
            raise Unreadable("has no column message: name one so in columns")
        found = {"message": 1}
    return found


def _messages(table: Table, columns: Mapping[str, int]) -> list[Message]:
    fields = {name: place for name, place in columns.items() if name not in ("message", "severity")}
    severity = columns.get("severity")
    made: list[Message] = []
    for place, row in enumerate(table.rows):
        level: Severity | None = "info"
        if severity is not None:
            level = _SEVERITIES.get(row[severity].strip().lower())
            if level is None:
                known = ", ".join(get_args(Severity))
                reason = f"expected one of {known}, got {quote(row[severity])}"
                raise Unreadable(f"{table.where(place, severity)}: {reason}")
        said = {name: row[column] for name, column in fields.items()}
        made.append(Message(level or "info", row[columns["message"]], said))
    return made


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
