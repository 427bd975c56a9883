"""What the options of `sonda run` change in a scenario: they hold for every entry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from returns.result import Failure

from sonda.pipeline.schemas.registry import PLUGINS

if TYPE_CHECKING:
    from sonda.pipeline.scenarios.compile import KnownDestination

_PLAIN: Final = ("duration", "start_time", "pace", "on_sink_error")
_NUMBERS: Final = ("rate", "count")


def apply(
    tree: dict[str, Any],
    overrides: Mapping[str, Any],
    config: Path | None,
    secrets: dict[str, str],
) -> None:
    """Change *tree* as the options say; raises click's `UsageError`.

    *secrets* gets the values that were filled in, by the `env:NAME` they stand for.
    """
    if overrides["seed"] is not None:
        tree["seed"] = _number("seed", overrides["seed"])
    for entry in _entries(tree):
        for name in _PLAIN:
            if overrides[name] is not None:
                entry[name] = overrides[name]
        for name in _NUMBERS:
            if overrides[name] is not None:
                entry[name] = _number(name, overrides[name])
        if overrides["labels"]:
            labels = entry.get("labels", {})
            entry["labels"] = {
                **(labels if isinstance(labels, dict) else {}),
                **overrides["labels"],
            }
        if overrides["to"] is not None:
            _send_to(entry, tree, overrides["to"], config, secrets)
        if overrides["settings"]:
            _set(entry, tree, overrides["settings"])


def named_destinations(
    tree: dict[str, Any], config: Path | None, secrets: dict[str, str]
) -> Mapping[str, KnownDestination]:
    """Return the destinations of `sonda.toml` that the scenario names; raises click's `UsageError`."""
    from sonda.cli.addressing import address
    from sonda.cli.config_file import find_destination
    from sonda.cli.destinations import Options, default_encoder, named_destination
    from sonda.pipeline.scenarios.compile import KnownDestination

    defaults = tree.get("defaults", {})
    places = [*_entries(tree), *([defaults] if isinstance(defaults, dict) else [])]
    names = {place["destination"] for place in places if isinstance(place.get("destination"), str)}
    options = Options(config=config)
    found: dict[str, KnownDestination] = {}
    for name in sorted(names):
        if isinstance(known := find_destination(name, config), Failure):
            raise click.UsageError(f"destination: {known.failure().rstrip()}")
        destination = named_destination(name, options)
        addressed = address({}, destination, options)
        secrets.update(addressed.secrets)
        encoder = addressed.event["encoder"] or default_encoder(destination.sink)
        found[name] = KnownDestination(encoder, addressed.event["sink"], destination.labels)
    return found


def _entries(tree: dict[str, Any]) -> Iterator[dict[str, Any]]:
    written = tree.get("scenarios", [tree])
    return (one for one in (written if isinstance(written, list) else []) if isinstance(one, dict))


def _number(name: str, text: str) -> int | Decimal:
    """Read a number as the file would have it, its text kept."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("nan")
    if not number.is_finite() or abs(number.adjusted()) > 300:  # noqa: PLR2004  # a double's range
        raise click.BadParameter(f"{text!r} is not a number", param_hint=f"'--{name}'")
    return number


def _effective(entry: Mapping[str, Any], tree: Mapping[str, Any], name: str) -> Any:
    """Return what an entry has for *name*, by itself or by `defaults`."""
    defaults = tree.get("defaults", {})
    return entry.get(name, defaults.get(name) if isinstance(defaults, dict) else None)


def _send_to(
    entry: dict[str, Any],
    tree: Mapping[str, Any],
    to: str,
    config: Path | None,
    secrets: dict[str, str],
) -> None:
    """Replace an entry's sink; its encoder stays where it fits and the target asks for no other."""
    from sonda.cli.addressing import address
    from sonda.cli.destinations import Options, destination
    from sonda.pipeline.scenarios.structure import EVENTS_OF

    options = Options(config=config)
    signal = entry.get("signal_type")
    event = {"signal_type": EVENTS_OF.get(str(signal), signal)}
    chosen = destination(to, options).of(event)
    addressed = address(event, chosen, options)
    secrets.update(addressed.secrets)
    entry.pop("destination", None)
    entry["sink"] = addressed.event["sink"]
    takes = PLUGINS["sink"].get(str(entry["sink"].get("type")), {}).get("x-payloads", ["text"])
    own = _effective(entry, tree, "encoder")
    kind = own.get("type") if isinstance(own, dict) else None
    fits = PLUGINS["encoder"].get(str(kind), {}).get("x-payload") in takes
    if not chosen.assumed or (not fits and (own is not None or "text" not in takes)):
        entry["encoder"] = addressed.event["encoder"]


def _set(entry: dict[str, Any], tree: Mapping[str, Any], settings: tuple[str, ...]) -> None:
    from sonda.cli import settings_by_path
    from sonda.pipeline.scenarios.compile import DEFAULT_ENCODERS
    from sonda.pipeline.scenarios.reading import plain
    from sonda.pipeline.scenarios.structure import EVENTS_OF

    signal = EVENTS_OF.get(str(entry.get("signal_type")), "")
    encoder = _effective(entry, tree, "encoder") or {"type": DEFAULT_ENCODERS.get(signal)}
    sink = _effective(entry, tree, "sink") or {"type": "stdout"}
    if isinstance(encoder, dict) and isinstance(sink, dict):
        changed = settings_by_path.apply(plain({"encoder": encoder, "sink": sink}), settings)
        entry.update(changed)
