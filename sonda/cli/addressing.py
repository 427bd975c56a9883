"""An event with its encoder and sink, whether they are its own or those of `--to`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import click
from msgspec import Struct

from sonda.cli.destinations import Destination, Options, named_destination, target
from sonda.config import resolve
from sonda.pipeline.problems import ValidationIssue
from sonda.pipeline.schemas.registry import PLUGINS


class Addressed(Struct, frozen=True):
    """An event with its encoder and sink, and the name of its target for people.

    *secrets* has the values that were filled into the event, by the `env:NAME` they stand for.
    *kept* is the event as it can be sent again without options, secrets not filled in.
    """

    event: dict[str, Any]
    target: str
    secrets: Mapping[str, str] = {}
    kept: Mapping[str, Any] | None = None
    spoken: str = ""
    timeout: str | None = None
    words: Callable[[ValidationIssue], str] = str
    """How an issue of the event is worded for a person."""
    find: Callable[[ValidationIssue], str] | None = None
    """In which file, on which line and in which column an issue of the event stands."""

    def __repr__(self) -> str:
        return f"Addressed({self.target!r})"

    @property
    def goes_to_stdout(self) -> bool:
        """Whether the event itself is printed."""
        return self.target == "stdout"


def address(event: Mapping[str, Any], to: Destination | None, options: Options) -> Addressed:
    """Return an event with its encoder and sink, secrets filled in; without *to* it has its own.

    An event that names a `destination` of `sonda.toml` gets what that stands for.
    """
    name = event.get("destination")
    if to is None and isinstance(name, str) and not options.names_are_servers:
        to = named_destination(name, options)
    if to is None:
        sink = event.get("sink")
        named = target(sink) if isinstance(sink, dict) else str(name or "")
        return Addressed(_with_verify(event, options, None), named, timeout=options.timeout)
    to = to.of(event)
    bare = {field: value for field, value in event.items() if field != "destination"}
    given = bare.get("labels", {})
    labels = {**to.labels, **given} if isinstance(given, Mapping) else given
    kept = bare | _as_kept(to, event)
    secrets = dict(to.secrets)
    sink = _reveal(to.sink, "sink", secrets, to)
    encoder = _reveal(to.encoder, "encoder", secrets, to)
    facts = PLUGINS["sink"].get(str(sink.get("type")), {})
    if "signal_type" in facts.get("required", ()) and "signal_type" not in sink:
        sink["signal_type"] = event.get("signal_type")
    if to.assumed:
        encoder = event.get("encoder", encoder)
    whole = {**bare, "labels": labels, "encoder": encoder, "sink": sink}
    if "labels" not in event and not to.labels:
        del whole["labels"]
    whole = _with_verify(whole, options, _revealed_text(to.verify_url, "verify_url", secrets, to))
    named, find = target(to.sink), None if to.file is None else partial(_find_in_config, to)
    return Addressed(whole, named, secrets, kept, to.spoken, options.timeout, find=find)


def _find_in_config(to: Destination, issue: ValidationIssue) -> str:
    from sonda.cli.issue_positions import find_in_config

    return find_in_config(to, issue)


def _as_kept(to: Destination, event: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields by which an event finds its destination again, secrets not filled in."""
    if to.named is not None:
        return {"destination": to.named}
    encoder = event.get("encoder", to.encoder) if to.assumed else to.encoder
    return {"encoder": encoder, "sink": dict(to.sink)}


def _with_verify(event: Mapping[str, Any], options: Options, url: str | None) -> dict[str, Any]:
    """Return the event with what the options say of reading it back; *url* is its destination's."""
    given = {"timeout": options.verify, "url": options.verify_url}
    asked = {name: text for name, text in given.items() if text is not None}
    if not asked:
        return dict(event)
    own = event.get("verify")
    of_destination = {} if url is None else {"url": url}
    own_or_none = own if isinstance(own, Mapping) else {}
    return {**event, "verify": {**of_destination, **own_or_none, **asked}}


def _reveal(value: Any, path: str, secrets: dict[str, str], to: Destination) -> Any:
    """Copy options, `env:NAME` and `file:PATH` replaced; what was replaced is noted in *secrets*."""
    if isinstance(value, Mapping):
        return {
            name: _reveal(inner, f"{path}.{name}", secrets, to) for name, inner in value.items()
        }
    if isinstance(value, list):
        return [_reveal(inner, path, secrets, to) for inner in value]
    if not isinstance(value, str):
        return value
    try:
        found = resolve(value, os.environ, to.folder)
    except ValueError as exc:
        found_at = _find_in_config(to, ValidationIssue(path, ""))
        where = f"{found_at}: " if found_at else ""
        raise _bad(f"{where}{path} is {value!r}: {exc}") from None
    if found is not None:
        secrets[value] = found
    return value if found is None else found


def _revealed_text(
    value: str | None, path: str, secrets: dict[str, str], to: Destination
) -> str | None:
    return None if value is None else str(_reveal(value, path, secrets, to))


def _bad(reason: str) -> click.UsageError:
    return click.BadParameter(reason, param_hint="'--to'")
