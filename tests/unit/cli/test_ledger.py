"""`sonda ledger merge`: the status is that of the worst verdict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from sonda.cli.ledger import ledger


def part(index: int, count: int, **columns: int) -> dict[str, Any]:
    """Return what a shard printed: ten events, all of them delivered unless *columns* say more."""
    found = {
        **dict.fromkeys(("rejected", "unknown", "skipped", "in_flight", "backlog"), 0),
        "planned": 10,
        "due": 10,
        "bytes": 100,
        "pushes": 1,
        **columns,
    }
    found.setdefault("delivered", 10 - found["rejected"] - found["unknown"] - found["skipped"])
    return {
        "name": "fleet",
        "shard": {"index": index, "count": count},
        "ledger": found,
        "scenarios": [{"id": "load", "ledger": found}],
    }


def merge(folder: Path, *parts: Any) -> Result:
    """Merge files that hold *parts*."""
    files = [folder / f"{number}.json" for number in range(len(parts))]
    for file, one in zip(files, parts, strict=True):
        file.write_text(one if isinstance(one, str) else json.dumps(one))
    return CliRunner().invoke(ledger, ["merge", *map(str, files)])


def test_the_sum(tmp_path: Path) -> None:
    """Every column is added, for the run and for each entry."""
    result = merge(tmp_path, part(0, 2), part(1, 2))
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert document["shards"] == {"count": 2, "missing": []}
    assert document["ledger"] == document["scenarios"][0]["ledger"]
    assert {name: document["ledger"][name] for name in ("planned", "delivered", "bytes")} == {
        "planned": 20,
        "delivered": 20,
        "bytes": 200,
    }
    assert result.stderr.startswith("fleet: ")


@pytest.mark.parametrize(
    ("columns", "status"),
    [
        ({"rejected": 1}, 1),
        ({"skipped": 1}, 1),
        ({"unknown": 1}, 3),
        ({"unknown": 1, "rejected": 1}, 3),
    ],
)
def test_the_worst_verdict(tmp_path: Path, columns: dict[str, int], status: int) -> None:
    """One event of one shard is enough."""
    assert merge(tmp_path, part(0, 2), part(1, 2, **columns)).exit_code == status


def test_missing_shards_are_unknown(tmp_path: Path) -> None:
    """The first twenty are named, and the others counted."""
    result = merge(tmp_path, part(1, 30))
    assert result.exit_code == 3
    lines = result.stderr.splitlines()[1:]
    assert lines[0] == "shard 0/30 is missing"
    assert lines[1] == "shard 2/30 is missing"
    assert lines[-1] == "and 9 more"
    assert len(lines) == 21


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        (["{"], "0.json: "),
        (["[" * 100_000], "0.json: "),
        (["[]"], "is no ledger of `sonda run --json`"),
        (["{}"], "'scenarios' is missing"),
        ([part(0, 2), part(0, 2)], "shard 0/2 is there twice"),
        ([part(0, 2), part(1, 3)], "shards of two runs: fleet of 2, and fleet of 3"),
    ],
)
def test_what_is_no_ledger(tmp_path: Path, parts: list[Any], reason: str) -> None:
    """It is a mistake of the command's, and nothing is printed as a sum."""
    result = merge(tmp_path, *parts)
    assert (result.exit_code, result.stdout) == (2, "")
    assert reason in " ".join(result.stderr.split())
