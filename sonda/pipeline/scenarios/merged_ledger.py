"""The ledgers of shards, added up, and which shard is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sonda.pipeline.scenarios.ledger import EMPTY, Ledger
from sonda.pipeline.scenarios.states import Shard

_COLUMNS = tuple(name for name in Ledger.__dataclass_fields__ if name != "planned")


@dataclass(frozen=True, slots=True)
class Part:
    """What `sonda run --json` printed of one shard (or of a whole run, which is shard 0 of 1)."""

    name: str
    shard: Shard
    ledger: Ledger
    entries: Mapping[str, Ledger]


@dataclass(frozen=True, slots=True)
class Merged:
    """The sum of the shards that are there."""

    name: str
    count: int
    missing: Sequence[int]
    ledger: Ledger
    entries: Mapping[str, Ledger]

    def document(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "name": self.name,
            "shards": {"count": self.count, "missing": list(self.missing)},
            "ledger": self.ledger.document(),
            "scenarios": [
                {"id": name, "ledger": ledger.document()} for name, ledger in self.entries.items()
            ],
        }


def read_part(document: Any) -> Part:
    """Read what a run printed; raises `ValueError` if it is none."""
    try:
        shard = document.get("shard", {"index": 0, "count": 1})
        entries = {one["id"]: _ledger(one["ledger"]) for one in document["scenarios"]}
        return Part(
            str(document["name"]),
            Shard(int(shard["index"]), int(shard["count"])),
            _ledger(document["ledger"]),
            entries,
        )
    except KeyError as exc:
        raise ValueError(f"is no ledger of `sonda run --json`: {exc} is missing") from None
    except (AttributeError, TypeError):
        raise ValueError("is no ledger of `sonda run --json`") from None


def _ledger(columns: Mapping[str, Any]) -> Ledger:
    planned = columns["planned"]
    counts = {name: int(columns[name]) for name in _COLUMNS}
    return Ledger(None if planned is None else int(planned), **counts)


def merge(parts: Sequence[Part]) -> Merged:
    """Add the ledgers of shards up; raises `ValueError` where they are not of one run."""
    first = parts[0]
    total, entries = EMPTY, dict[str, Ledger]()
    seen: set[int] = set()
    for part in parts:
        if (part.name, part.shard.count) != (first.name, first.shard.count):
            raise ValueError(
                f"shards of two runs: {first.name} of {first.shard.count}, "
                f"and {part.name} of {part.shard.count}"
            )
        if part.shard.index in seen:
            raise ValueError(f"shard {part.shard} is there twice")
        seen.add(part.shard.index)
        total += part.ledger
        for name, ledger in part.entries.items():
            entries[name] = entries.get(name, EMPTY) + ledger
    missing = [index for index in range(first.shard.count) if index not in seen]
    return Merged(first.name, first.shard.count, missing, total, entries)
