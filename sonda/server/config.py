"""The server's configuration: destinations with a name, and keys, read whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from msgspec import structs
from returns.result import Failure

from sonda.config import (
    DESTINATION_FIELDS,
    KEY_FIELDS,
    TABLES,
    ConfigError,
    check_fields,
    read_document,
    reveal,
    with_positions,
)
from sonda.pipeline.model import NamedDestination, ValidatedEvent
from sonda.pipeline.plugins.fit import encoders_of_sink
from sonda.pipeline.policy.callers import ANYBODY, ApiKey, Caller
from sonda.pipeline.problems import Invalid, Malformed
from sonda.pipeline.schemas.registry import PLUGINS
from sonda.pipeline.schemas.remedies import did_you_mean
from sonda.pipeline.stages.validate import validate
from sonda.pipeline.text.escape import at, kind_of, quote
from sonda.pipeline.text.hidden import hidden_texts
from sonda.pipeline.text.redact import replace_secrets
from sonda.server.flag_values import parse_key, read_secret_file
from sonda.server.settings import Settings

_SAMPLES: Final[Mapping[str, Mapping[str, Any]]] = {
    "logs": {"log": {"severity": "info", "message": ""}},
    "metrics": {"metric": {"name": "m", "value": 0}},
}


@dataclass(frozen=True, slots=True)
class Config:
    """What is in force: it is replaced as a whole."""

    destinations: Mapping[str, NamedDestination] = field(default_factory=dict)
    keys: tuple[ApiKey, ...] = ()
    files: tuple[Path, ...] = ()
    """The configuration and every secret file, which no request may reach."""
    source: Source = field(default_factory=lambda: Source(), repr=False)  # noqa: PLW0108  # it comes below
    """What it was made of."""

    def secrets(self) -> Iterator[str]:
        """Yield every text that no log may show."""
        yield from (key.value for key in self.keys)
        for destination in self.destinations.values():
            yield from destination.hidden


@dataclass(frozen=True, slots=True)
class Source:
    """What has been read, secrets included: workers make the same configuration of it.

    *shown* has what the value of an `env:` or `file:` string is to be shown as.
    """

    api_key: str = field(default="", repr=False)
    destinations: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    keys: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    files: tuple[Path, ...] = ()
    shown: Mapping[str, str] = field(default_factory=dict, repr=False)
    path: Path | None = None
    names: frozenset[str] = frozenset()
    """Of all destinations, those with faults included."""
    faults: tuple[str, ...] = ()
    text: str = field(default="", repr=False)
    """The file as it is written."""

    def with_positions(self, faults: Iterable[str]) -> list[str]:
        """Return faults of the file's tables with the file, the line and the column of each."""
        if self.path is None:
            return list(faults)
        return [f"--config {fault}" for fault in with_positions(self.path, self.text, faults)]


def read_source(settings: Settings, environ: Mapping[str, str] = os.environ) -> Source:
    """Read the file and every secret file; raise `ConfigError` where there is nothing to go on with."""
    api_key = settings.api_key
    files: tuple[Path, ...] = ()
    if settings.api_key_file is not None:
        files = (settings.api_key_file,)
        try:
            api_key = read_secret_file(settings.api_key_file)
        except ValueError as exc:
            raise ConfigError(f"SONDA_API_KEY_FILE: {exc}") from None
    if settings.config is None:
        return Source(api_key, files=files)
    path = settings.config
    try:
        document = read_document(path)
    except ConfigError as exc:
        raise ConfigError(*(f"--config {fault}" for fault in exc.faults)) from None
    reading = _Reading(environ, path.parent)
    reading.faults += [
        f"{name}: unknown, expected [destinations.NAME] or [keys.NAME]{did_you_mean(name, TABLES)}"
        for name in document.unknown
    ]
    destinations = reading.tables("destinations", document.destinations, DESTINATION_FIELDS)
    keys = reading.tables("keys", document.keys, KEY_FIELDS)
    return Source(
        api_key,
        destinations,
        keys,
        (*files, path, *reading.files),
        reading.shown,
        path,
        frozenset(document.destinations),
        tuple(reading.faults),
        document.text,
    )


class _Reading:
    """The tables of one file with their `env:` and `file:` strings replaced."""

    def __init__(self, environ: Mapping[str, str], folder: Path) -> None:
        self._environ = environ
        self._folder = folder
        self.files: list[Path] = []
        self.faults: list[str] = []
        self.shown: dict[str, str] = {}

    def tables(
        self, kind: str, written: Mapping[str, object], fields: tuple[str, ...]
    ) -> dict[str, Mapping[str, Any]]:
        """Return those tables that could be read."""
        found = {}
        for name, table in written.items():
            place = at(kind, name)
            faults = check_fields(table, place, fields)
            if not name:
                faults.append(f"{place}: a name must not be empty")
            if isinstance(table, dict) and not faults:
                revealed = reveal(table, (kind, name), self._environ, self._folder)
                self.files += revealed.files
                self.shown |= revealed.secrets
                faults = list(revealed.faults)
                if not faults:
                    found[name] = revealed.value
            self.faults += faults
        return found


def build(source: Source) -> Config:
    """Return the configuration of what has been read; raise `ConfigError` with every fault. No I/O."""
    faults: list[str] = []
    destinations: dict[str, NamedDestination] = {}
    for name, table in source.destinations.items():
        made = _destination(name, table)
        if isinstance(made, NamedDestination):
            destinations[name] = made
        else:
            faults += (replace_secrets(fault, source.shown) for fault in made)
    keys = [ApiKey(source.api_key, ANYBODY)] if source.api_key else []
    for name, table in source.keys.items():
        place = at("keys", name)
        wrong = list(_faults_of_key(table, place, source.names))
        if not wrong and any(key.value == table["key"] for key in keys):
            wrong = [f"{place}: another caller has the same key"]
        if not wrong:
            allowed = table.get("destinations")
            caller = Caller(name, None if allowed is None else frozenset(allowed))
            keys.append(ApiKey(table["key"], caller))
        faults += wrong
    if faults or source.faults:
        raise ConfigError(*source.with_positions((*source.faults, *faults)))
    return Config(destinations, tuple(keys), source.files, source)


def load_config(settings: Settings, environ: Mapping[str, str] = os.environ) -> Config:
    """Return the configuration that flags, file and secret files come to.

    Raise `ConfigError` with every fault; the values of secrets are in none.
    """
    return build(read_source(settings, environ))


def own_files(settings: Settings) -> tuple[Path, ...]:
    """Return the configuration and every secret file, as far as they can be found now."""
    try:
        return read_source(settings).files
    except ConfigError:
        return tuple(path for path in (settings.config, settings.api_key_file) if path is not None)


def _destination(name: str, table: Mapping[str, Any]) -> NamedDestination | list[str]:
    """Return the destination of a table, or its faults."""
    place = at("destinations", name)
    faults = list(_faults_of_destination(table, place))
    made = faults or _validated(table, place)
    if isinstance(made, list):
        return made
    verify_url = table.get("verify_url")
    return NamedDestination(
        made.encoder,
        made.sink,
        table.get("labels", {}),
        verify_url,
        name,
        hidden_texts(table["sink"], verify_url),
    )


def _faults_of_destination(table: Mapping[str, Any], place: str) -> Iterator[str]:
    if not isinstance(table.get("sink"), dict):
        yield f'{place}: expected sink = {{ type = "…", … }}'
    if not isinstance(table.get("encoder", {}), dict):
        yield f'{place}.encoder: expected a table such as {{ type = "json_lines" }}'
    if not isinstance(table.get("labels", {}), dict):
        yield f'{place}.labels: expected a table of strings such as {{ env = "prod" }}'


def _faults_of_key(table: Mapping[str, Any], place: str, known: frozenset[str]) -> Iterator[str]:
    value = table.get("key")
    if not isinstance(value, str):
        yield f"{place}.key: expected a string"
    elif not value:
        yield f"{place}.key: it is empty"
    else:
        try:
            parse_key(value)
        except ValueError as exc:
            yield f"{place}.key: {exc}"
    allowed = table.get("destinations", [])
    if not isinstance(allowed, list):
        yield f"{place}.destinations: expected an array of names, got {kind_of(allowed)}"
        return
    for number, name in enumerate(allowed):
        if not isinstance(name, str) or name not in known:
            meant = did_you_mean(name, known) if isinstance(name, str) else ""
            yield f"{place}.destinations[{number}]: there is no destination {quote(name)}{meant}"


def _validated(table: Mapping[str, Any], place: str) -> ValidatedEvent | list[str]:
    """Validate a destination with an event of a kind that it takes; else return the faults."""
    sink = table["sink"]
    encoder = table.get("encoder") or _default_encoder(sink)
    verify_url = table.get("verify_url")
    problem = None
    for signal in _signals(sink, encoder):
        document = {
            "signal_type": signal,
            "labels": table.get("labels", {}),
            **_SAMPLES[signal],
            "encoder": encoder,
            "sink": sink,
            **({} if verify_url is None else {"verify": {"url": verify_url}}),
        }
        outcome = validate(document, received_ns=0)
        if not isinstance(outcome, Failure):
            return structs.replace(outcome.unwrap(), verify=None)
        problem = problem or outcome.failure()
    if isinstance(problem, Malformed | Invalid):
        return [
            f"{place}.{issue}".replace(f"{place}.verify.url", f"{place}.verify_url")
            if issue.path and not issue.names_subject
            else f"{place}: {issue}"
            for issue in problem.issues
        ]
    return [f"{place}: {problem}"]


def _signals(sink: Mapping[str, Any], encoder: Mapping[str, Any]) -> list[str]:
    """Return the signals to try, the likeliest first."""
    option = PLUGINS["sink"].get(str(sink.get("type")), {}).get("x-signal-option")
    promised = str(sink.get(option)) if option else ""
    facts = PLUGINS["encoder"].get(str(encoder.get("type")), {})
    likely = [promised] if promised in _SAMPLES else list(facts.get("x-signals", ()))
    return likely or ["logs"]


def _default_encoder(sink: Mapping[str, Any]) -> dict[str, Any]:
    name = str(sink.get("type"))
    fitting = encoders_of_sink(name) if name in PLUGINS["sink"] else []
    chosen = "json_lines" if "json_lines" in fitting or not fitting else fitting[0]
    return {"type": chosen}
