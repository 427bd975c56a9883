"""Shards add up to the whole, and a missing one is named."""

from __future__ import annotations

from typing import Any

import pytest

from sonda.pipeline.scenarios.ledger import Ledger
from sonda.pipeline.scenarios.merged_ledger import merge, read_part


def part(index: int, count: int = 3, *, name: str = "demo", delivered: int = 2) -> dict[str, Any]:
    ledger = Ledger(delivered, delivered, delivered=delivered).document()
    return {
        "name": name,
        "shard": {"index": index, "count": count},
        "ledger": ledger,
        "scenarios": [{"id": "a", "ledger": ledger}],
    }


def test_the_sum_names_what_is_missing() -> None:
    """In whatever order the parts come."""
    merged = merge([read_part(part(2)), read_part(part(0, delivered=5))])
    assert merged.missing == [1]
    assert merged.ledger.delivered == 7
    document = merged.document()
    assert document["shards"] == {"count": 3, "missing": [1]}
    assert document["scenarios"][0]["ledger"]["delivered"] == 7


def test_a_whole_run_is_one_shard_of_one() -> None:
    """It names none."""
    whole = part(0)
    del whole["shard"]
    assert merge([read_part(whole)]).missing == []


@pytest.mark.parametrize(
    ("second", "why"),
    [
        (part(0), "shard 0/3 is there twice"),
        (part(1, 4), "shards of two runs: demo of 3, and demo of 4"),
        (part(1, name="other"), "shards of two runs: demo of 3, and other of 3"),
    ],
)
def test_parts_that_do_not_belong_together(second: dict[str, Any], why: str) -> None:
    """They are not added."""
    with pytest.raises(ValueError, match=why):
        merge([read_part(part(0)), read_part(second)])


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        "x",
        {},
        {**part(0), "scenarios": None},
        {**part(0), "ledger": {}},
        {**part(0), "shard": []},
    ],
)
def test_what_is_no_ledger(document: Any) -> None:
    """Whatever JSON it is."""
    with pytest.raises(ValueError, match="is no ledger of `sonda run --json`"):
        read_part(document)
