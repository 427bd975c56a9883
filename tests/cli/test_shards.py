"""`sonda run --shard` and `sonda ledger merge`, as they are typed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from sonda.cli.commands import sonda

FLEET: dict[str, Any] = {
    "scenario_name": "fleet",
    "scenarios": [
        {
            "signal_type": "metrics",
            "name": "load",
            "rate": 1000,
            "count": 3,
            "series": 5,
            "start_time": "2026-01-01T00:00:00Z",
            "generator": {"type": "uniform", "min": 0, "max": 1},
            "sink": {"type": "file", "path": ""},
        }
    ],
}


def _run(folder: Path, *words: str) -> Result:
    document = folder / "fleet.json"
    FLEET["scenarios"][0]["sink"]["path"] = str(
        folder / f"{len(words)}{''.join(words[1:2])[:1]}.prom"
    )
    document.write_text(json.dumps(FLEET), encoding="utf-8")
    return CliRunner().invoke(sonda, ["run", str(document), *words])


def _lines(folder: Path) -> list[str]:
    lines = [line for file in folder.glob("*.prom") for line in file.read_text().splitlines()]
    return sorted(lines)


def test_the_shards_of_a_run_are_the_whole(tmp_path: Path) -> None:
    """Two shards deliver the lines of a whole run, and their ledgers add up to its ledger."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    assert _run(whole).exit_code == 0
    printed = []
    for index in range(2):
        result = _run(parts, "--shard", f"{index}/2", "--json")
        assert result.exit_code == 0, result.output
        printed.append(parts / f"{index}.json")
        printed[-1].write_text(result.stdout, encoding="utf-8")
    assert _lines(parts) == _lines(whole)
    assert len(_lines(whole)) == 15
    merged = CliRunner().invoke(sonda, ["ledger", "merge", *map(str, printed)])
    assert merged.exit_code == 0
    document = json.loads(merged.stdout)
    assert document["shards"] == {"count": 2, "missing": []}
    assert (document["ledger"]["planned"], document["ledger"]["delivered"]) == (15, 15)
    assert document["scenarios"][0]["ledger"]["delivered"] == 15
    alone = CliRunner().invoke(sonda, ["ledger", "merge", str(printed[1])])
    assert alone.exit_code == 3
    assert "shard 0/2 is missing" in alone.stderr
    twice = CliRunner().invoke(sonda, ["ledger", "merge", str(printed[1]), str(printed[1])])
    assert twice.exit_code == 2
    assert "shard 1/2 is there twice" in twice.stderr


def test_a_dry_run_shows_the_shard(tmp_path: Path) -> None:
    """Its own events, and as many series as it has."""
    result = _run(tmp_path, "--shard", "1/2", "--dry-run", "--json")
    [entry] = json.loads(result.stdout)["scenarios"]
    assert (entry["planned"], entry["series"]) == (6, 2)
    assert entry["events"][0].startswith('load{series="1"} ')


def test_a_shard_without_events_succeeds(tmp_path: Path) -> None:
    """It has a ledger of its own, so that none is missing when they are added up."""
    printed = []
    for index in range(7):
        result = _run(tmp_path, "--shard", f"{index}/7", "--json")
        assert result.exit_code == 0, result.output
        assert ("has no event" in result.stderr) == (index >= 5)
        printed.append(tmp_path / f"{index}.json")
        printed[-1].write_text(result.stdout, encoding="utf-8")
    merged = CliRunner().invoke(sonda, ["ledger", "merge", *map(str, printed)])
    assert merged.exit_code == 0
    document = json.loads(merged.stdout)
    assert document["shards"] == {"count": 7, "missing": []}
    assert (document["ledger"]["planned"], document["ledger"]["delivered"]) == (15, 15)


@pytest.mark.parametrize(
    ("shard", "text"),
    [("2/2", "I from 0 to N - 1"), ("a/b", "I from 0"), ("-1/2", "I from 0")],
)
def test_what_is_no_shard(tmp_path: Path, shard: str, text: str) -> None:
    """A mistake before anything is sent: status 2."""
    result = _run(tmp_path, "--shard", shard)
    assert result.exit_code == 2
    assert text in result.stderr


def test_what_is_no_ledger(tmp_path: Path) -> None:
    """A file of something else is named."""
    path = tmp_path / "x.json"
    path.write_text("[]", encoding="utf-8")
    result = CliRunner().invoke(sonda, ["ledger", "merge", str(path)])
    assert result.exit_code == 2
    assert "x.json: is no ledger" in result.stderr
