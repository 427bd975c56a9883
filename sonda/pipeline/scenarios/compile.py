"""From a document to a plan: every rule of the format, and the arithmetic done once.

Pure: nothing is opened and nothing is looked up. `now` comes as an argument.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import itemgetter
from typing import Any, Final

from msgspec import structs
from returns.result import Failure, Result, Success

from sonda.pipeline.hiding import hide_advisories
from sonda.pipeline.model import NamedDestination, PluginRef, ValidatedEvent
from sonda.pipeline.problems import Problem
from sonda.pipeline.scenarios.after import resolve_after
from sonda.pipeline.scenarios.compile_csv import OpenText, ReplayReader, is_replay, no_files
from sonda.pipeline.scenarios.compile_entry import EntryCompiler, add_problem
from sonda.pipeline.scenarios.limits import MOST_SERIES
from sonda.pipeline.scenarios.plan import (
    Entry,
    Route,
    Scenario,
)
from sonda.pipeline.scenarios.reading import Document, Path, plain
from sonda.pipeline.scenarios.structure import EVENTS_OF, Issues, Piece, examine
from sonda.pipeline.stages.preflight import preflight
from sonda.pipeline.stages.validate import validate
from sonda.pipeline.text.escape import at, quote

_NOT_IN_ID: Final = re.compile(r"[^A-Za-z0-9_]")
_WHERE_TO: Final = ("type", "topic", "headers")  # beside the sink's receiver
_WITHOUT_EMPTY: Final = ("prometheus_text", "remote_write", "influx_lp")
"""The encoders to which an empty label is none."""
DEFAULT_ENCODERS: Final = {"metrics": "prometheus_text", "logs": "json_lines"}


@dataclass(frozen=True, slots=True)
class KnownDestination:
    """A destination of the configuration; the entry's own labels win over *labels*.

    *named* is what it is to a server, whose callers must not see all of it.
    """

    encoder: Mapping[str, Any]
    sink: Mapping[str, Any]
    labels: Mapping[str, str]
    named: NamedDestination | None = None

    @classmethod
    def of(cls, named: NamedDestination) -> KnownDestination:
        """Return a destination of a server's configuration."""
        encoder, sink = (json.loads(one.identity) for one in (named.encoder, named.sink))
        return cls(encoder, sink, named.labels, named)


def compile_document(
    document: Document,
    *,
    now_ns: int,
    destinations: Mapping[str, KnownDestination] | None = None,
    in_server: bool = False,
    open_text: OpenText = no_files,
) -> Result[Scenario, Problem]:
    """Compile a document into a frozen plan; fails with `Malformed` or `Invalid`.

    *now_ns* is what `start_time: now` means. *destinations* are those that have a name.
    *open_text* opens the files that are replayed.
    """
    issues = Issues()
    for path in document.bad_numbers:
        issues.value(path, "expected a finite number of the range of a double")
    head, pieces = examine(document.tree, issues)
    addressing = _Addressing(issues, head, now_ns, destinations or {}, in_server)
    merged = [addressing.with_defaults(piece) for piece in pieces]
    merged = ReplayReader(issues, open_text).expand(merged)
    ids = _ids(merged, issues)
    routes = [addressing.route(piece, of) for piece, of in zip(merged, ids, strict=True)]
    if (problem := issues.problem()) is not None and issues.structural:
        return Failure(problem)
    seed = int(head.get("seed", 0))
    entries_of = EntryCompiler(issues, seed, now_ns)
    entries: list[Entry] = []
    warnings: list[str] = []
    for piece, entry_id, routed in zip(merged, ids, routes, strict=True):
        route, advice = routed or (None, [])
        entry = entries_of.compile(piece, entry_id, route) if piece.is_sound else None
        if entry is not None:
            entries.append(entry)
            warnings += advice
    if issues.problem() is None:
        entries = list(resolve_after(merged, entries, issues))
    _check_series(entries, [piece.path for piece in merged], issues)
    if (problem := issues.problem()) is not None:
        return Failure(problem)
    name = head.get("scenario_name", entries[0].name)
    found = tuple(dict.fromkeys(warnings))
    return Success(Scenario(name, seed, tuple(entries), plain(document.tree), found))


def _paced(written: Mapping[str, Any]) -> tuple[tuple[str, ...], str]:
    """Return what cannot be written where something else sets the pace, and why."""
    if is_replay(written):
        return ("rate", "stages"), "the times of csv_replay set the pace"
    if "stages" in written:
        return ("rate", "duration"), "stages stand in its place"
    return (), ""


def _ids(pieces: Sequence[Piece], issues: Issues) -> list[str]:
    """Return each entry's id: its own, or one made of its name."""
    taken: set[str] = set()
    for piece in pieces:
        own = piece.written.get("id")
        if isinstance(own, str):
            if own in taken:
                issues.value((*piece.path, "id"), f"{quote(own)} is another entry's, too")
            taken.add(own)
    ids: list[str] = []
    used: dict[str, int] = {}
    for piece in pieces:
        if isinstance(piece.written.get("id"), str):
            ids.append(piece.written["id"])
            continue
        made = _NOT_IN_ID.sub("_", str(piece.written.get("name", "")))
        made = f"_{made}" if made[:1].isdigit() else made
        number = used.get(made, 0) + 1
        found = made if number == 1 else f"{made}_{number}"
        while found in taken:
            number += 1
            found = f"{made}_{number}"
        used[made] = number
        taken.add(found)
        ids.append(found)
    return ids


@dataclass(slots=True)
class _Addressing:
    issues: Issues
    head: Mapping[str, Any]
    now_ns: int
    destinations: Mapping[str, KnownDestination]
    in_server: bool

    def with_defaults(self, piece: Piece) -> Piece:
        """Return an entry with what `defaults` add to it."""
        defaults, own = dict(self.head.get("defaults", {})), piece.written
        if "sink" in own:
            defaults.pop("destination", None)
        if "destination" in own:
            defaults.pop("encoder", None)
            defaults.pop("sink", None)
        paced, why = _paced(own)
        defaults = {name: value for name, value in defaults.items() if name not in paced}
        for name in paced:
            if name in own:
                self.issues.structure(piece.path, f"unknown field '{name}': {why}")
                return replace(piece, is_sound=False)
        merged = {**defaults, **own}
        labels = [of.get("labels") for of in (defaults, own)]
        if all(isinstance(one, dict) for one in labels):
            merged["labels"] = {**defaults["labels"], **own["labels"]}
        if "rate" not in merged and not paced and piece.written:
            self.issues.structure(piece.path, "missing field 'rate'")
            return replace(piece, written=merged, is_sound=False)
        return replace(piece, written=merged)

    def route(self, piece: Piece, entry_id: str) -> tuple[Route, list[str]] | None:
        """Check what the entry has of an event, as an event's body is; return where it leads."""
        if not piece.is_sound or self.issues.full:
            return None
        written, signal = piece.written, EVENTS_OF[piece.written["signal_type"]]
        labels = written.get("labels", {})
        encoder = written.get("encoder", {"type": DEFAULT_ENCODERS[signal]})
        sink = written.get("sink", {"type": "stdout"})
        name = written.get("destination")
        named: NamedDestination | None = None
        if name is not None:
            for field in ("encoder", "sink"):
                if field in written:
                    self.issues.structure(piece.path, f"unknown field '{field}'")
                    return None
            if name not in self.destinations:
                reason = f"there is no destination {quote(name)}"
                self.issues.value((*piece.path, "destination"), reason)
                return None
            known = self.destinations[name]
            named = known.named
            encoder, sink, labels = known.encoder, known.sink, {**known.labels, **labels}
            written["labels"] = labels
        content = (
            {"metric": {"name": written["name"], "value": 0.0}}
            if signal == "metrics"
            else {"log": {"severity": "info", "message": ""}}
        )
        encoder, sink = plain(dict(encoder)), plain(dict(sink))
        event = {
            "signal_type": signal,
            "labels": labels,
            **content,
            "encoder": encoder,
            "sink": sink,
        }
        checked = validate(event, received_ns=self.now_ns)
        if isinstance(checked, Failure):
            add_problem(self.issues, piece.path, checked.failure())
            return None
        addressed: Result[ValidatedEvent, Problem] = checked.map(
            lambda validated: structs.replace(validated, destination=named)
        )
        advised = addressed.bind(partial(preflight, in_server=self.in_server))
        valid = advised.map(hide_advisories).unwrap()
        subject = f"scenario entry '{entry_id}'"
        warnings = [
            warning.replace(f"scenario entry 'events.{signal}'", subject, 1)
            for warning in valid.warnings
        ]
        place = at(*piece.path, "sink" if named is None else "destination")
        return Route(valid.encoder, valid.sink, named, encoder, sink, place), warnings


def _place(sink: PluginRef) -> str:
    """Return what two sinks have in common that lead to one place, however they push and name it."""
    options = json.loads(sink.identity)
    kept = {name: options[name] for name in _WHERE_TO if name in options}
    return f"{sink.receiver} {json.dumps(kept, sort_keys=True)}"


def _check_series(entries: Sequence[Entry], paths: Sequence[Path], issues: Issues) -> None:
    """Count the series of the whole document, and find those that two entries would make."""
    if sum(entry.series for entry in entries) > MOST_SERIES:
        issues.value((), f"the scenario makes more than {MOST_SERIES:,} series")
        return
    if issues.values or issues.forbidden:  # not every entry was compiled
        return
    known: dict[object, str] = {}
    places = {entry.route.sink.identity: _place(entry.route.sink) for entry in entries}
    for entry, path in zip(entries, paths, strict=True):
        if entry.signal_type != "metrics":
            continue
        where = places[entry.route.sink.identity]
        encoder = entry.route.encoder
        is_empty_none = encoder.name in _WITHOUT_EMPTY
        field = getattr(encoder.options, "field_key", "value")  # InfluxDB's fields stand apart
        for name, labels in entry.identities():
            held = filter(itemgetter(1), labels.items()) if is_empty_none else labels.items()
            made = (where, name, field, frozenset(held))
            if known.setdefault(made, entry.id) != entry.id:
                issues.value(path, f"makes a series that entry {quote(known[made])} makes, too")
                break
