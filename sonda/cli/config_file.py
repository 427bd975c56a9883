"""Destinations with a name, as `sonda.toml` has them; `[keys]`, which are a server's, are ignored.

A string that is wholly `env:NAME` or `file:PATH` stands for that value, and is looked up when the
destination is used. What is wrong with a destination concerns only those who use it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import click
from returns.result import Failure, Result, Success

from sonda.config import with_positions
from sonda.pipeline.text.escape import at

FILE_NAME: Final = "sonda.toml"
_TABLES: Final = ("destinations", "keys")
_FIELDS: Final = ("sink", "encoder", "labels", "verify_url")


@dataclass(frozen=True, slots=True)
class NamedDestination:
    """A destination as *file* has it, in whose folder its `file:PATH` begin."""

    sink: Mapping[str, Any] = field(repr=False)
    encoder: Mapping[str, Any] | None
    labels: Mapping[str, str]
    verify_url: str | None
    file: Path


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """One file: its destinations, each with what is wrong with it, and its unknown tables."""

    path: Path
    destinations: Mapping[str, Result[NamedDestination, str]]
    unknown: tuple[str, ...]
    is_foreign: bool


def find_destination(name: str, config: Path | None) -> Result[NamedDestination, str]:
    """Return the nearest definition of a name; fails with the reason, what is known included."""
    known: set[str] = set()
    notes: list[str] = []
    for path in [config] if config else _search(notes):
        read = read_file(path)
        if isinstance(read, Failure):
            return read
        file = read.unwrap()
        found = file.destinations.get(name)
        if found is not None and file.is_foreign and config is None:
            reason = f"{path} belongs to somebody else: --config {path} would trust it"
            return Failure(reason)
        if found is not None:
            return found
        known |= set(() if file.is_foreign and config is None else file.destinations)
        if file.unknown:
            notes.append(f"{path}: {', '.join(file.unknown)}: expected [destinations.NAME] tables")
    where = "" if config is None else f" in {config}"
    listed = ", ".join(sorted(known)) or f"none (no {FILE_NAME} names any)"
    noted = "".join(f" ({note})" for note in notes)
    return Failure(
        f"there is no destination {name!r}{where}; known destinations: {listed}{noted}. "
    )


def known_destinations(config: Path | None) -> Mapping[str, NamedDestination]:
    """Return the destinations that can be used, the nearest of each name, for completion."""
    known: dict[str, NamedDestination] = {}
    for path in [config] if config else _search([]):
        read = read_file(path)
        if isinstance(read, Success) and not (read.unwrap().is_foreign and config is None):
            for name, found in read.unwrap().destinations.items():
                if isinstance(found, Success):
                    known.setdefault(name, found.unwrap())
    return known


def _search(notes: list[str]) -> Iterator[Path]:
    """Find `sonda.toml` in the current folder, in those above it, and in the user's own.

    A folder that cannot be searched is passed over, and noted.
    """
    try:
        current = Path.cwd()
    except OSError as exc:
        notes.append(f"the current folder cannot be searched: {exc.strerror}")
        folders: list[Path] = []
    else:
        folders = [current, *current.parents]
    folders.append(Path(click.get_app_dir("sonda")))
    for folder in dict.fromkeys(folders):
        path = folder / FILE_NAME
        try:
            path.stat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as exc:
            notes.append(f"{folder} cannot be searched: {exc.strerror}")
            continue
        if path.is_file():
            yield path


def read_file(path: Path) -> Result[ConfigFile, str]:
    """Read one file; fails with the reason if it is no TOML or cannot be read.

    *is_foreign* is set where another user owns it: it could send this user's secrets to them.
    """
    import tomllib

    try:
        with path.open("rb") as file:
            owner = os.fstat(file.fileno()).st_uid
            text = file.read().decode()
        document = tomllib.loads(text)
    except OSError as exc:
        return Failure(f"cannot read {path}: {exc.strerror}")
    except ValueError as exc:
        return Failure(f"cannot read {path}: {exc}")
    is_foreign = hasattr(os, "getuid") and owner not in (os.getuid(), 0)
    unknown = tuple(name for name in document if name not in _TABLES)
    tables = document.get("destinations", {})
    if not isinstance(tables, dict):
        return Success(ConfigFile(path, {}, (*unknown, "destinations"), is_foreign))
    found = {name: _destination(path, text, name, table) for name, table in tables.items()}
    return Success(ConfigFile(path, found, unknown, is_foreign))


def _destination(path: Path, text: str, name: str, table: object) -> Result[NamedDestination, str]:
    """Read the table of a destination; its values are the pipeline's to judge."""
    issue = _issue(table)
    if issue or not isinstance(table, dict):
        [fault] = with_positions(path, text, [f"{at('destinations', name)}{issue}"])
        return Failure(fault)
    labels = table.get("labels", {})
    return Success(
        NamedDestination(table["sink"], table.get("encoder"), labels, table.get("verify_url"), path)
    )


def _issue(table: object) -> str:
    """Return what is wrong with the table of a destination, with its place there, or an empty text."""
    if not isinstance(table, dict) or not isinstance(table.get("sink"), dict):
        return ': expected a table with sink = { type = "…", … }'
    if not isinstance(table.get("encoder", {}), dict):
        return '.encoder: expected a table such as { type = "json_lines" }'
    labels = table.get("labels", {})
    if not isinstance(labels, dict) or not all(isinstance(one, str) for one in labels.values()):
        return '.labels: expected a table of strings such as { env = "prod" }'
    if not isinstance(table.get("verify_url", ""), str):
        return ".verify_url: expected a string"
    unknown = [name for name in table if name not in _FIELDS]
    expected = "expected 'sink', 'encoder', 'labels' or 'verify_url'"
    return f": unknown field {unknown[0]!r}, {expected}" if unknown else ""
