"""The server's configuration: destinations with a name, and keys, read whole or not at all."""

from __future__ import annotations

import hmac
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from msgspec import structs
from returns.result import Failure

from sonda.config import (
    DESTINATION_FIELDS,
    KEY_FIELDS,
    ConfigError,
    check_fields,
    read_document,
    reveal,
)
from sonda.pipeline.model import NamedDestination, ValidatedEvent
from sonda.pipeline.plugins.fit import encoders_of_sink
from sonda.pipeline.policy.callers import ANYBODY, Caller
from sonda.pipeline.problems import Invalid, Malformed
from sonda.pipeline.schemas.registry import PLUGINS
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
class ApiKey:
    """A key, and who the caller is that sends it."""

    value: str = field(repr=False)
    caller: Caller


@dataclass(frozen=True, slots=True)
class Config:
    """What is in force: it is replaced as a whole."""

    destinations: Mapping[str, NamedDestination] = field(default_factory=dict)
    keys: tuple[ApiKey, ...] = ()
    files: tuple[Path, ...] = ()
    """The configuration and every secret file, which no request may reach."""

    def caller_of(self, key: str) -> Caller | None:
        """Return whose key this is; every key is compared, each in constant time."""
        given = key.encode("latin-1", errors="replace")
        found = None
        for known in self.keys:
            if hmac.compare_digest(given, known.value.encode()):
                found = known.caller
        return found

    def secrets(self) -> Iterator[str]:
        """Yield every text that no log may show."""
        yield from (key.value for key in self.keys)
        for destination in self.destinations.values():
            yield from destination.hidden


def load_config(settings: Settings, environ: Mapping[str, str] = os.environ) -> Config:
    """Return the configuration that flags, file and secret files come to.

    Raise `ConfigError` with every fault; the values of secrets are in none.
    """
    keys: list[ApiKey] = []
    files: list[Path] = []
    api_key = settings.api_key
    if settings.api_key_file is not None:
        files.append(settings.api_key_file)
        try:
            api_key = read_secret_file(settings.api_key_file)
        except ValueError as exc:
            raise ConfigError(f"SONDA_API_KEY_FILE: {exc}") from None
    if api_key:
        keys.append(ApiKey(api_key, ANYBODY))
    if settings.config is None:
        return Config({}, tuple(keys), tuple(files))
    try:
        return _read(settings.config, environ, keys, files)
    except ConfigError as exc:
        raise ConfigError(
            *(f"--config {settings.config}: {fault}" for fault in exc.faults)
        ) from None


def _read(path: Path, environ: Mapping[str, str], keys: list[ApiKey], files: list[Path]) -> Config:
    document = read_document(path)
    faults = [
        f"{name}: unknown, expected [destinations.NAME] or [keys.NAME]" for name in document.unknown
    ]
    tables = _Tables(environ, path.parent)
    destinations = {
        name: found
        for name, table in document.destinations.items()
        if (found := tables.destination(name, table)) is not None
    }
    for name, table in document.keys.items():
        key = tables.key(name, table, document.destinations)
        if key is None:
            continue
        if any(hmac.compare_digest(key.value.encode(), other.value.encode()) for other in keys):
            faults.append(f"{at('keys', name)}: another caller has the same key")
        keys.append(key)
    if faults := [*faults, *tables.faults]:
        raise ConfigError(*faults)
    return Config(destinations, tuple(keys), (*files, path, *tables.files))


class _Tables:
    """The tables of one file, and what is wrong with them."""

    def __init__(self, environ: Mapping[str, str], folder: Path) -> None:
        self._environ = environ
        self._folder = folder
        self.files: list[Path] = []
        self.faults: list[str] = []

    def destination(self, name: str, table: object) -> NamedDestination | None:
        """Return the destination of a table; `None` if it has faults."""
        path = ("destinations", name)
        found = self._reveal(table, path, DESTINATION_FIELDS)
        if found is None:
            return None
        written, secrets = found
        faults = list(_faults_of_destination(written, at(*path)))
        made = None if faults else _validated(written, at(*path))
        if isinstance(made, list):
            faults = made
        if not isinstance(made, ValidatedEvent):
            self.faults += [replace_secrets(fault, secrets) for fault in faults]
            return None
        verify_url = written.get("verify_url")
        return NamedDestination(
            made.encoder,
            made.sink,
            written.get("labels", {}),
            verify_url,
            name,
            hidden_texts(written["sink"], verify_url),
        )

    def key(self, name: str, table: object, known: Mapping[str, object]) -> ApiKey | None:
        """Return the key of a table; `None` if it has faults."""
        path = ("keys", name)
        found = self._reveal(table, path, KEY_FIELDS)
        if found is None:
            return None
        written, _ = found
        faults = list(_faults_of_key(written, at(*path), known))
        self.faults += faults
        if faults:
            return None
        allowed = written.get("destinations")
        return ApiKey(written["key"], Caller(name, None if allowed is None else frozenset(allowed)))

    def _reveal(
        self, table: object, path: tuple[str, str], fields: tuple[str, ...]
    ) -> tuple[dict[str, Any], Mapping[str, str]] | None:
        faults = check_fields(table, at(*path), fields)
        if not path[1]:
            faults.append(f"{at(*path)}: a name must not be empty")
        if faults or not isinstance(table, dict):
            self.faults += faults
            return None
        revealed = reveal(table, path, self._environ, self._folder)
        self.files += revealed.files
        self.faults += revealed.faults
        return None if revealed.faults else (revealed.value, revealed.secrets)


def _faults_of_destination(table: Mapping[str, Any], place: str) -> Iterator[str]:
    if not isinstance(table.get("sink"), dict):
        yield f'{place}: expected sink = {{ type = "…", … }}'
    if not isinstance(table.get("encoder", {}), dict):
        yield f'{place}.encoder: expected a table such as {{ type = "json_lines" }}'
    if not isinstance(table.get("labels", {}), dict):
        yield f'{place}.labels: expected a table of strings such as {{ env = "prod" }}'


def _faults_of_key(
    table: Mapping[str, Any], place: str, known: Mapping[str, object]
) -> Iterator[str]:
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
            yield f"{place}.destinations[{number}]: there is no destination {quote(name)}"


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
