"""The operator's TOML file: its tables, and the values that `env:NAME` and `file:PATH` stand for.

What stands in a destination's table is the pipeline's to judge; here it is only read. A fault is a
text that begins with its place in the file, such as `destinations.prod.sink.url`.
"""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from sonda.pipeline.schemas.remedies import did_you_mean
from sonda.pipeline.text.escape import at, kind_of, quote

TABLES: Final = ("destinations", "keys")
DESTINATION_FIELDS: Final = ("encoder", "sink", "labels", "verify_url")
KEY_FIELDS: Final = ("key", "destinations")
_LARGEST_FILE_BYTES: Final = 1_048_576
_LARGEST_SECRET_BYTES: Final = 65_536
_ENVIRONMENT: Final = "env:"
_FILE: Final = "file:"
_LITERAL: Final = "labels"


class ConfigError(Exception):
    """The file cannot be used; *faults* has each reason with its place."""

    def __init__(self, *faults: str) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


class ConfigDocument(Struct, frozen=True):
    """The tables of the file as they are written."""

    path: Path
    destinations: Mapping[str, object]
    keys: Mapping[str, object]
    unknown: tuple[str, ...] = ()
    """Tables and keys at the top that mean nothing."""
    text: str = ""

    def __repr__(self) -> str:
        return f"ConfigDocument({str(self.path)!r})"


class Revealed(Struct, frozen=True):
    """A table whose `env:` and `file:` strings are replaced.

    *secrets* has what each replaced value is to be shown as; *files* are those that were read.
    """

    value: Any
    secrets: Mapping[str, str]
    files: tuple[Path, ...]
    faults: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Revealed(files={self.files!r}, faults={self.faults!r})"


def read_document(path: Path) -> ConfigDocument:
    """Return the tables of a file; raise `ConfigError` if it cannot be read or is no TOML."""
    import tomllib  # one event of the command line needs none

    try:
        text = _read_regular(path, _LARGEST_FILE_BYTES).decode()
        document = tomllib.loads(text)
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be read: {exc.strerror or exc}") from None
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{path}: is not UTF-8 at byte {exc.start}") from None
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError(f"{path}: is not valid TOML: {exc}{_remedy(str(exc))}") from None
    except RecursionError:
        raise ConfigError(f"{path}: is nested too deeply") from None
    faults = [
        f"{table}: expected tables [{table}.NAME], got {kind_of(document[table])}"
        for table in TABLES
        if not isinstance(document.get(table, {}), dict)
    ]
    if faults:
        raise ConfigError(*with_positions(path, text, faults))
    unknown = tuple(at(name) for name in document if name not in TABLES)
    return ConfigDocument(
        path, document.get("destinations", {}), document.get("keys", {}), unknown, text
    )


def with_positions(path: Path, text: str, faults: Iterable[str]) -> list[str]:
    """Return *faults*, which begin with their place in a TOML *text*, with file, line and column."""
    from sonda.pipeline.text.positions import steps_of
    from sonda.pipeline.text.toml_positions import TomlPositions

    found = TomlPositions(text)
    parts = ((fault, *fault.partition(": ")) for fault in faults)
    positions = ((fault, found.find(steps_of(place, reason))) for fault, place, _, reason in parts)
    return [
        f"{path}: {fault}" if position is None else f"{path}:{position}: {fault}"
        for fault, position in positions
    ]


def _remedy(said: str) -> str:
    """Return what to do about a slip that the reader of TOML words like this, if that is known."""
    if said.startswith("Invalid value"):
        return " (a text needs straight quotation marks)"
    if "key part" in said:
        return " (a table in braces stands on one line)"
    return ""


def reveal(
    table: Mapping[str, Any], path: tuple[str, ...], environ: Mapping[str, str], folder: Path
) -> Revealed:
    """Return a table with the values that its strings stand for, those of its `labels` excepted.

    A string that is wholly `env:NAME` or `file:PATH`, relative to *folder*, stands for a variable
    or for a file's content less a final line feed; neither may be empty. *path* is the table's own
    place in the file.
    """
    reading = _Reading(folder, environ)
    value = {
        name: reading.reveal(inner, (*path, name), literal=name == _LITERAL)
        for name, inner in table.items()
    }
    return Revealed(value, reading.secrets, tuple(reading.files), tuple(reading.faults))


class _Reading:
    """One pass over a table."""

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self._folder = folder
        self._environ = environ
        self.secrets: dict[str, str] = {}
        self.files: list[Path] = []
        self.faults: list[str] = []

    def reveal(
        self, value: object, path: tuple[str | int, ...], *, literal: bool = False
    ) -> object:
        """Return *value* with each string in it replaced by what it stands for, unless *literal*."""
        match value:
            case dict():
                return {
                    name: self.reveal(inner, (*path, name), literal=literal)
                    for name, inner in value.items()
                }
            case list():
                return [
                    self.reveal(inner, (*path, place), literal=literal)
                    for place, inner in enumerate(value)
                ]
            case str():
                return value if literal else self._text(value, at(*path))
            case bool() | int():
                return value
            case float() if math.isfinite(value):
                return value
            case _:
                self.faults.append(f"{at(*path)}: a date, a time, inf and nan mean nothing here")
                return None

    def _text(self, text: str, place: str) -> str:
        try:
            found = resolve(text, self._environ, self._folder)
        except ValueError as exc:
            self.faults.append(f"{place}: {exc}")
            return text
        if found is None:
            return text
        if text.startswith(_FILE):
            self.files.append(self._folder / text.removeprefix(_FILE))
        self.secrets[found] = text
        return found


def resolve(text: str, environ: Mapping[str, str], folder: Path) -> str | None:
    """Return what `env:NAME` or `file:PATH` (relative to *folder*) stands for; `None` for other texts.

    Raise `ValueError` where the variable is not set, the file cannot be read, or either is empty.
    """
    if text.startswith(_ENVIRONMENT):
        return _variable(text.removeprefix(_ENVIRONMENT), environ)
    if text.startswith(_FILE):
        return _content(text.removeprefix(_FILE), folder)
    return None


def _variable(name: str, environ: Mapping[str, str]) -> str:
    found = environ.get(name)
    if found is None:
        raise ValueError(f"the variable {quote(name)} is not set")
    if not found:
        raise ValueError(f"the variable {quote(name)} is empty")
    return _utf8(found.encode(errors="surrogateescape"), f"the variable {quote(name)}")


def _content(name: str, folder: Path) -> str:
    what = f"the file {quote(name)}"
    if "\0" in name:  # each Python has words of its own for it
        raise ValueError(f"{what} cannot be read: embedded null byte")
    try:
        raw = _read_regular(folder / name, _LARGEST_SECRET_BYTES)
    except (OSError, ValueError) as exc:
        raise ValueError(
            f"{what} cannot be read: {getattr(exc, 'strerror', None) or exc}"
        ) from None
    text = _utf8(raw, what).removesuffix("\n").removesuffix("\r")
    if not text:
        raise ValueError(f"{what} is empty")
    return text


def _utf8(raw: bytes, what: str) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise ValueError(f"{what} is not UTF-8") from None


def _read_regular(path: Path, limit_bytes: int) -> bytes:
    """Return what a regular file holds, without waiting for the other end of a FIFO."""
    waits_not = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)  # Windows has neither
    fd = os.open(path, os.O_RDONLY | waits_not)
    with open(fd, "rb") as file:  # noqa: PTH123  # a descriptor
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(0, "it is no regular file")
        raw = file.read(limit_bytes + 1)
    if len(raw) > limit_bytes:
        raise OSError(0, f"it is over {limit_bytes} bytes")
    return raw


def check_fields(table: object, place: str, fields: tuple[str, ...]) -> list[str]:
    """Return the faults of a table that is none, or has other fields than *fields*."""
    if not isinstance(table, dict):
        return [f"{place}: expected a table, got {kind_of(table)}"]
    known = ", ".join(f"'{name}'" for name in fields)
    return [
        f"{place}: unknown field {quote(name)}, expected one of {known}{did_you_mean(name, fields)}"
        for name in table
        if name not in fields
    ]
