"""Files in the version-2 shape run unchanged, each feature of the format's second half twice."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from click.testing import CliRunner

from sonda.cli.commands import sonda

FILES: Final = sorted((Path(__file__).parent / "version2").glob("*.yaml"))
FEATURES: Final = (
    *("histogram", "summary", "cardinality_spikes", "series", "stages", "csv_replay", "after"),
    *("metric_type", "help"),
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.stem))
def test_a_file_runs_unchanged(path: Path) -> None:
    """Every event of its plan is delivered, and there are as many lines as samples."""
    paced = () if path.stem == "backfill-summary" else ("--pace", "max")
    start = ("--start-time", "2026-01-01T00:00:00Z")
    result = CliRunner().invoke(sonda, ["run", str(path), *paced, *start, "--json"])
    assert result.exit_code == 0, result.output
    ended: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    assert ended["ledger"]["delivered"] == ended["ledger"]["planned"] > 0


def _features(value: Any) -> list[str]:
    """Return the words of a file that name a feature, as keys or as values."""
    if isinstance(value, dict):
        inner = [word for part in value.values() for word in _features(part)]
        return [*(key for key in value if key in FEATURES), *inner]
    if isinstance(value, list):
        return [word for part in value for word in _features(part)]
    return [value] if value in FEATURES else []


def test_each_feature_is_there_twice() -> None:
    """So that no file stands alone for what it shows."""
    found = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in FILES]
    counts = Counter(word for document in found for word in _features(document))
    assert {name for name in FEATURES if counts[name] < 2} == set()
    assert all(document["version"] == 2 for document in found)
    assert len(FILES) == 12
