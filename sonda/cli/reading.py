"""From a file to whole events: JSON (an object, an array, or one after the other), JSON Lines, YAML."""

from __future__ import annotations

import codecs
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import PurePath
from typing import Any, Final, NamedTuple

from msgspec import Struct
from returns.result import Failure, Result, Success

from sonda.cli.issue_positions import EventPlace, EventsText
from sonda.pipeline.problems import Malformed, NotJson, Problem, ValidationIssue
from sonda.pipeline.stages.parse import parse
from sonda.pipeline.text.compact_json import compact_text
from sonda.pipeline.text.escape import kind_of
from sonda.pipeline.values.timestamps import rfc3339

_DECODER: Final = json.JSONDecoder()
_BLANKS: Final = re.compile(r"[ \t\r\n]*")
_STOPPED: Final = re.compile(r": line \d+ column \d+ \(char (\d+)\)")  # as `json` words it
_LINES: Final = (".jsonl", ".ndjson")
_JSON: Final = (*_LINES, ".json")
_YAML: Final = (".yaml", ".yml")
_UTF16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_NOT_UTF8: Final = "surrogateescape"  # so stand bytes in a text that are no UTF-8


class Item(Struct, frozen=True):
    """One event to send: where it stands, how it is written, and what could be read of it.

    *written* is one line of JSON with the event's timestamp: sent again, it is the same event.
    What could not be read stays as it was. *place* finds what is wrong in an event of a file.
    """

    where: str
    written: str
    event: Result[dict[str, Any], Problem]
    place: EventPlace | None = None


def item(
    where: str,
    event: dict[str, Any],
    now_ns: Callable[[], int],
    place: EventPlace | None = None,
) -> Item:
    """Return an event with its time, unless it has one: a second try has to be the same event."""
    stamped = event if "timestamp" in event else {**event, "timestamp": rfc3339(now_ns())}
    return Item(where, compact_text(stamped), Success(stamped), place)


def read_standard_input() -> bytes:
    """Return all of standard input; where that is closed, nothing. Raise `OSError`."""
    return b"" if sys.stdin is None or sys.stdin.closed else sys.stdin.buffer.read()


def read_message(raw: bytes) -> str:
    """Return a message as standard input has it, less one final line feed; raise `ValueError`."""
    try:
        message = raw.decode().removesuffix("\n")
    except UnicodeDecodeError as exc:
        raise ValueError(f"standard input is not UTF-8 at byte {exc.start}") from None
    if not message:
        raise ValueError("standard input is empty")
    return message


def as_read(text: str) -> bytes:
    """Return the bytes of an event as they stood in its file, those that are no UTF-8 included."""
    try:
        return text.encode(errors=_NOT_UTF8)
    except UnicodeEncodeError:  # a lone surrogate, which an escape in YAML can make
        return text.encode(errors="backslashreplace")


def read_events(name: str, raw: bytes, now_ns: Callable[[], int]) -> Result[list[Item], str]:
    """Read all events of a file; fails with the reason if it cannot be taken apart.

    An event of JSON or JSON Lines that cannot be read, for example since it is not UTF-8, is an
    item of its own: it spoils no other.
    """
    text = raw.decode("utf-8-sig", _NOT_UTF8)
    suffix = PurePath(name).suffix.lower()
    is_yaml = suffix in _YAML or (suffix not in _JSON and text.lstrip()[:1] not in ("{", "["))
    if raw.startswith(_UTF16) or (is_yaml and _why_not_utf8(raw)):
        return Failure(_why_not_utf8(raw))
    if is_yaml:
        return _read_yaml(name, text, now_ns)
    found = Success(list(_lines(text))) if suffix in _LINES else _take_apart(text)
    if isinstance(found, Failure):
        return Failure(_why_not_utf8(raw) or found.failure())
    source = EventsText(name, text, is_yaml=False)
    return found.map(lambda pieces: [_read(source, piece, now_ns) for piece in pieces])


def _why_not_utf8(raw: bytes) -> str:
    """Return where *raw* stops to be UTF-8, or nothing where all of it is."""
    try:
        raw.decode()
    except UnicodeDecodeError as exc:
        return f"not UTF-8 at byte {exc.start}"
    return ""


class _Piece(NamedTuple):
    """An event as it is written, on one line; *offset* is where it begins in its file."""

    line: int
    offset: int
    text: str


def _read(source: EventsText, piece: _Piece, now_ns: Callable[[], int]) -> Item:
    """Read one event as strictly as the server does."""
    where = f"{source.name}:{piece.line}"
    event = parse(as_read(piece.text))
    if isinstance(event, Success):
        return item(where, event.unwrap(), now_ns, EventPlace(source, piece.offset))
    problem = event.failure()
    if isinstance(problem, NotJson) and (stopped := _STOPPED.search(problem.reason)):
        where = f"{source.name}:{source.at(piece.offset + int(stopped[1]))}"
        problem = NotJson(_STOPPED.sub("", problem.reason))  # it counts from the event's start
    return Item(where, piece.text, Failure(problem))


def _lines(text: str) -> Iterator[_Piece]:
    offset = 0
    for number, line in enumerate(text.split("\n"), 1):
        if event := line.strip():
            yield _Piece(number, offset + line.index(event[0]), event)
        offset += len(line) + 1


def _take_apart(text: str) -> Result[list[_Piece], str]:
    """Find the events of a JSON text, each with the number of the line where it begins."""
    in_array = text.lstrip().startswith("[")
    try:
        places = list(_elements(text) if in_array else _values(text))
    except RecursionError:
        return Failure("not valid JSON: it is nested too deeply")
    except ValueError as exc:
        lines = list(_lines(text))
        if not in_array and any(_is_object(piece.text) for piece in lines):
            return Success(lines)
        return Failure(f"not valid JSON: {exc}")
    return Success(list(_numbered(text, places)))


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _values(text: str) -> Iterator[slice]:
    """Walk over JSON values that stand one after the other; raises `ValueError`."""
    start = _skip(text, 0)
    while start < len(text):
        _, end = _DECODER.raw_decode(text, start)
        yield slice(start, end)
        start = _skip(text, end)


def _elements(text: str) -> Iterator[slice]:
    """Walk over the elements of a JSON array; raises `ValueError`."""
    start = _skip(text, 0)
    _, end = _DECODER.raw_decode(text, start)
    if _skip(text, end) < len(text):
        raise json.JSONDecodeError("Extra data", text, end)
    start = _skip(text, start + 1)
    while text[start] != "]":
        _, end = _DECODER.raw_decode(text, start)
        yield slice(start, end)
        start = _skip(text, end)
        if text[start] == ",":
            start = _skip(text, start + 1)


def _skip(text: str, start: int) -> int:
    """Return the place after the blanks that begin at *start*."""
    blanks = _BLANKS.match(text, start)
    return blanks.end() if blanks else start


def _numbered(text: str, places: Iterable[slice]) -> Iterator[_Piece]:
    """Cut the events out, each on one line: inside JSON strings there is no line break."""
    line, counted = 1, 0
    for place in places:
        line += text.count("\n", counted, place.start)
        counted = place.start
        written = text[place].replace("\r", " ").replace("\n", " ")
        yield _Piece(line, place.start, written)


def _read_yaml(name: str, text: str, now_ns: Callable[[], int]) -> Result[list[Item], str]:
    """Read a YAML stream of documents, each an event or a list of events."""
    from sonda.pipeline.text import strict_yaml

    source = EventsText(name, text, is_yaml=True)
    return strict_yaml.read_events(text).map(
        lambda found: [
            _of_yaml(f"{name}:{line}", value, now_ns, EventPlace(source, number))
            for number, (line, value) in enumerate(found)
        ]
    )


def _of_yaml(where: str, value: object, now_ns: Callable[[], int], place: EventPlace) -> Item:
    """Take an event as it is; a list that holds itself, which YAML can say, is no JSON."""
    try:
        written = compact_text(value)
    except (ValueError, RecursionError) as exc:
        return Item(where, "", Failure(NotJson(str(exc))))
    if isinstance(value, dict):
        return item(where, value, now_ns, place)
    reason = f"expected an object, got {kind_of(value)}"
    return Item(where, written, Failure(Malformed((ValidationIssue("", reason),))))
