"""Runs of scenarios: the ledger says what the destination has, to the event."""

from __future__ import annotations

import json
from urllib.parse import urlencode
from uuid import uuid4

import sonda

from .ledger import Ledger
from .loki import Loki

COUNT = 100_000


def counted(loki: Loki, run: str) -> int:
    """Return how many entries a run has in Loki."""
    query = {"query": f'sum(count_over_time({{run="{run}"}}[1h]))'}
    _, body = loki.request("GET", f"/loki/api/v1/query?{urlencode(query)}", timeout_s=30.0)
    (sample,) = json.loads(body)["data"]["result"]
    return int(sample["value"][1])


def test_a_backfill_into_loki(loki: Loki, landed: Ledger) -> None:
    """Every event that the ledger calls delivered is there once, and no other is."""
    run = uuid4().hex
    document = {
        "name": "backfill",
        "signal_type": "logs",
        "rate": 10_000,
        "count": COUNT,
        "pace": "max",
        "start_time": "-1m",
        "log_generator": {"type": "template", "templates": ["m{tick}"]},
        "labels": {"run": run},
        "sink": {"type": "loki", "url": loki.url},
    }
    report = sonda.run_scenario(sonda.load_scenario(document).unwrap()).unwrap()
    ledger = report.ledger
    assert (ledger.planned, ledger.due) == (COUNT, COUNT)
    assert (ledger.delivered, ledger.unknown, ledger.skipped) == (COUNT, 0, 0), str(report)
    found = counted(loki, run)
    landed.record("loki", sent=ledger.delivered, found=found)
    assert found == COUNT
