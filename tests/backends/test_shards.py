"""Three shards side by side into one Kafka and one Prometheus, and what each of these counts."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import uuid4

from click.testing import CliRunner

from sonda.cli.commands import sonda

from .kafka import Kafka
from .ledger import Ledger
from .prometheus import Prometheus
from .web import read_json

SHARDS = 3
SERIES = 10
TICKS = 50
LINES = 200


def _document(kafka: Kafka, prometheus: Prometheus, name: str, topic: str) -> dict[str, Any]:
    return {
        "scenario_name": name,
        "defaults": {"start_time": "-1m", "pace": "max"},
        "scenarios": [
            {
                "signal_type": "metrics",
                "name": name,
                "rate": 10,
                "count": TICKS,
                "series": SERIES,
                "generator": {"type": "step", "step_size": 1},
                "encoder": {"type": "remote_write"},
                "sink": {"type": "remote_write", "url": prometheus.write_url},
            },
            {
                "signal_type": "logs",
                "name": "lines",
                "rate": 100,
                "count": LINES,
                "log_generator": {"type": "template", "templates": ["line {tick}"]},
                "sink": {"type": "kafka", "brokers": kafka.addresses["plain"], "topic": topic},
            },
        ],
    }


def _side_by_side(folder: Path) -> list[Path]:
    """Run all shards at once, and return the ledgers that they print."""
    command = [sys.executable, "-m", "sonda", "run", "run.json", "--json"]
    running = [
        subprocess.Popen(
            [*command, "--shard", f"{index}/{SHARDS}"], cwd=folder, stdout=subprocess.PIPE
        )
        for index in range(SHARDS)
    ]
    printed: list[Path] = []
    for index, process in enumerate(running):
        stdout, _ = process.communicate(timeout=120)
        assert process.returncode == 0
        printed.append(folder / f"{index}.json")
        printed[-1].write_bytes(stdout)
    return printed


def test_three_shards_side_by_side(
    kafka: Kafka, prometheus: Prometheus, landed: Ledger, tmp_path: Path
) -> None:
    """Their merged ledger is what is there, each event once; without one of them it is named."""
    name, topic = f"sonda_{uuid4().hex}", kafka.create_topic()
    document = _document(kafka, prometheus, name, topic)
    (tmp_path / "run.json").write_text(json.dumps(document), encoding="utf-8")
    printed = _side_by_side(tmp_path)
    merged = CliRunner().invoke(sonda, ["ledger", "merge", *map(str, printed)])
    assert merged.exit_code == 0, merged.output
    added = json.loads(merged.stdout)
    assert added["shards"] == {"count": SHARDS, "missing": []}
    delivered = {one["id"]: one["ledger"]["delivered"] for one in added["scenarios"]}
    assert delivered == {name: SERIES * TICKS, "lines": LINES}
    assert added["ledger"]["planned"] == added["ledger"]["delivered"] == SERIES * TICKS + LINES
    found = Counter(
        json.loads(record.value)["message"] for record in kafka.read(topic, count=LINES)
    )
    assert found == Counter(f"line {tick}" for tick in range(LINES))
    query = f"sum(count_over_time({name}[10m]))"
    answer = read_json(prometheus.web.get("/api/v1/query", query=query))
    assert answer["data"]["result"][0]["value"][1] == str(SERIES * TICKS)
    for series in prometheus.stored(name):
        assert [value for _, value in series.samples] == list(range(TICKS))
    landed.record("kafka plain", sent=LINES, found=found.total())
    landed.record("prometheus remote_write", sent=SERIES * TICKS, found=SERIES * TICKS)
    some = CliRunner().invoke(sonda, ["ledger", "merge", str(printed[0]), str(printed[2])])
    assert some.exit_code == 3
    assert f"shard 1/{SHARDS} is missing" in some.stderr
    assert json.loads(some.stdout)["shards"]["missing"] == [1]
