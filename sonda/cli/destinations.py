"""Where an event goes, as a person says it: `--to loki=http://loki:3100`, `--to staging`.

What a target is, and which encoder fits, is read from the schemas. A named destination stands in
`sonda.toml`; its secrets are `env:NAME`, and are looked up when they are used.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import click
from returns.result import Failure, Result, Success

from sonda.pipeline.schemas.registry import PLUGINS
from sonda.pipeline.text.escape import hide_userinfo

FILE_NAME: Final = "sonda.toml"
_FROM_ENVIRONMENT: Final = "env:"
_FILLED_IN: Final = ("type", "signal_type")  # by the name of the sink, and from the event


@dataclass(frozen=True, slots=True)
class Destination:
    """A sink and perhaps an encoder, as written: a secret is still `env:NAME` here.

    An encoder that nobody asked for is *assumed*: it gives way to an event's own.
    """

    sink: Mapping[str, Any]
    encoder: Mapping[str, Any] | None = None
    assumed: bool = False


@dataclass(frozen=True, slots=True)
class Addressed:
    """An event with its encoder and sink, and the name of its target for people.

    *secrets* has the values that were filled into the event, by the `env:NAME` they stand for.
    """

    event: dict[str, Any] = field(repr=False)
    target: str
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def goes_to_stdout(self) -> bool:
        """Whether the event itself is printed."""
        return self.target == "stdout"


def destination(
    to: str, encoder: str | None, settings: Sequence[str], config: Path | None
) -> Destination:
    """Find what `--to`, `--encoder` and `--set` mean together; raises click's `UsageError`."""
    chosen = _direct(to) or _named(to, config)
    if encoder is not None:
        chosen = replace(chosen, encoder={"type": encoder})
    elif chosen.encoder is None:
        assumed = not any(setting.startswith("encoder.") for setting in settings)
        chosen = replace(chosen, encoder=default_encoder(chosen.sink), assumed=assumed)
    if not settings:
        return chosen
    from sonda.cli import settings_by_path

    changed = settings_by_path.apply({"encoder": chosen.encoder, "sink": chosen.sink}, settings)
    return replace(chosen, sink=changed["sink"], encoder=changed["encoder"])


def default_encoder(sink: Mapping[str, Any]) -> dict[str, Any]:
    """Choose an encoder that the sink takes: `json_lines` for text, else the only one of its kind."""
    takes = PLUGINS["sink"].get(str(sink.get("type")), {}).get("x-payloads", ["text"])
    if "text" in takes:
        return {"type": "json_lines"}
    return {
        "type": next(n for n, facts in PLUGINS["encoder"].items() if facts["x-payload"] in takes)
    }


def address(event: Mapping[str, Any], to: Destination | None) -> Addressed:
    """Give an event its encoder and sink, secrets filled in; without *to* it has its own."""
    if to is None:
        sink = event.get("sink")
        return Addressed(dict(event), target(sink) if isinstance(sink, dict) else "")
    secrets: dict[str, str] = {}
    sink = _reveal(to.sink, "sink", secrets)
    encoder = _reveal(to.encoder, "encoder", secrets)
    facts = PLUGINS["sink"].get(str(sink.get("type")), {})
    if "signal_type" in facts.get("required", ()) and "signal_type" not in sink:
        sink["signal_type"] = event.get("signal_type")
    if to.assumed:
        encoder = event.get("encoder", encoder)
    return Addressed({**event, "encoder": encoder, "sink": sink}, target(to.sink), secrets)


def target(sink: Mapping[str, Any]) -> str:
    """Name a sink for people: `loki http://loki:3100`, without userinfo."""
    name = str(sink.get("type"))
    parts = [hide_userinfo(str(sink[part])) for part in _target_fields(name) if part in sink]
    return " ".join((name, "/".join(parts))).rstrip()


def example(sink: str) -> str:
    """Give an example of `--to` for a sink, from its schema."""
    shown = PLUGINS["sink"][sink]["examples"][0]
    target = "/".join(str(shown[part]) for part in _target_fields(sink))
    return f"{sink}={target}" if target else sink


def _target_fields(sink: str) -> list[str]:
    required = PLUGINS["sink"].get(sink, {}).get("required", ())
    return [part for part in required if part not in _FILLED_IN]


def _direct(to: str) -> Destination | None:
    """Read `SINK=TARGET`, or the name of a sink that needs no target; `None` if it is neither."""
    sink, equals, target = to.partition("=")
    if sink not in PLUGINS["sink"]:
        if not equals:
            return None
        raise _bad_to(f"there is no sink {sink!r}; sinks: {', '.join(PLUGINS['sink'])}")
    fields = _target_fields(sink)
    if bool(fields) != bool(target):
        if not equals:
            return None
        wanted = f"needs a target, as in {example(sink)}" if fields else "takes no target"
        raise _bad_to(f"sink {sink!r} {wanted}")
    parts = target.rsplit("/", len(fields) - 1) if fields else []
    if len(parts) < len(fields):
        raise _bad_to(f"sink {sink!r} needs {' and '.join(fields)}, as in {example(sink)}")
    return Destination({"type": sink, **dict(zip(fields, parts, strict=True))})


def _named(name: str, config: Path | None) -> Destination:
    known = known_destinations(config)
    if isinstance(known, Failure):
        raise click.UsageError(known.failure())
    found = known.unwrap().get(name)
    if found is not None:
        return found
    if name in PLUGINS["sink"]:
        raise _bad_to(f"sink {name!r} needs a target, as in {example(name)}")
    where = "" if config is None else f" in {config}"
    listed = ", ".join(sorted(known.unwrap())) or f"none (no {FILE_NAME} names any)"
    raise _bad_to(
        f"there is no destination {name!r}{where}; known destinations: {listed}. "
        f"Or name a sink, as in {example('loki')}"
    )


def _bad_to(reason: str) -> click.UsageError:
    return click.BadParameter(reason, param_hint="'--to'")


def known_destinations(config: Path | None) -> Result[Mapping[str, Destination], str]:
    """Read every destination that has a name, those of the nearest file first; fails with the reason."""
    known: dict[str, Destination] = {}
    for path in [config] if config else _files():
        found = _read(path, trusted=config is not None)
        if isinstance(found, Failure):
            return found
        known = {**found.unwrap(), **known}
    return Success(known)


def _files() -> Iterator[Path]:
    """Find `sonda.toml` here, in the folders above, and in the user's own folder."""
    here = Path.cwd()
    own = Path(click.get_app_dir("sonda"))
    for folder in dict.fromkeys((here, *here.parents, own)):
        if (folder / FILE_NAME).is_file():
            yield folder / FILE_NAME


def _read(path: Path, *, trusted: bool) -> Result[Mapping[str, Destination], str]:
    """Read one file; one that somebody else has put into a folder above could send secrets to them."""
    import tomllib

    try:
        with path.open("rb") as file:
            if not trusted and os.fstat(file.fileno()).st_uid not in (os.getuid(), 0):
                return Failure(f"{path} belongs to somebody else: --config {path} would trust it")
            document = tomllib.load(file)
    except (OSError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else str(exc)
        return Failure(f"cannot read {path}: {reason}")
    tables = document.pop("destinations", {})
    unknown = ", ".join(document)
    if unknown or not isinstance(tables, dict):
        return Failure(f"{path}: {unknown or 'destinations'}: expected [destinations.NAME] tables")
    known: dict[str, Destination] = {}
    for name, table in tables.items():
        flaw = _flaw(table)
        if flaw:
            return Failure(f"{path}: destinations.{name}: {flaw}")
        known[name] = Destination(table["sink"], table.get("encoder"))
    return Success(known)


def _flaw(table: object) -> str:
    """Say what is wrong with the table of a destination; its values are the pipeline's to judge."""
    if not isinstance(table, dict) or not isinstance(table.get("sink"), dict):
        return 'expected a table with sink = { type = "…", … }'
    if not isinstance(table.get("encoder", {}), dict):
        return 'encoder: expected a table such as { type = "json_lines" }'
    unknown = [name for name in table if name not in ("sink", "encoder")]
    return f"unknown field {unknown[0]!r}, expected 'sink' or 'encoder'" if unknown else ""


def _reveal(value: Any, path: str, secrets: dict[str, str]) -> Any:
    """Copy options, `env:NAME` replaced; what has been replaced is noted in *secrets*."""
    if isinstance(value, Mapping):
        return {name: _reveal(inner, f"{path}.{name}", secrets) for name, inner in value.items()}
    if isinstance(value, list):
        return [_reveal(inner, path, secrets) for inner in value]
    if not isinstance(value, str) or not value.startswith(_FROM_ENVIRONMENT):
        return value
    name = value.removeprefix(_FROM_ENVIRONMENT)
    if name not in os.environ:
        raise _bad_to(f"{path} is {value!r}, and the environment has no {name}")
    secrets[value] = os.environ[name]
    return secrets[value]
