"""A million bodies along the schemas through parse, validate, preflight and every encoder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import pytest

from tests.fuzz.scale import SCALE
from tests.fuzz.shapes import ENCODERS

PROGRAMS: Final = 2
PATIENCE_S: Final = 1_800  # a million inputs take 12 minutes on two cores
MOST_GROWTH_MIB: Final = 64
MOST_MEMORY_MIB: Final = 1024


@pytest.mark.skipif(
    not os.environ.get("FUZZ") and find_spec("atheris") is None,
    reason="atheris is not there for this Python",
)
def test_the_stages_bear_anything(tmp_path: Path, seed: int, report: list[str]) -> None:
    """Nothing raises, hangs or takes ever more memory, and refusals are in the contract's words."""
    tallies = fuzz(tmp_path, seed)
    counts = sum((Counter[str](tally["counts"]) for tally in tallies), Counter[str]())
    growths = [tally["memory_mib"][-1] - tally["memory_mib"][10] for tally in tallies]
    report += told(counts, tallies, growths)
    assert counts["inputs"] >= SCALE.stage_inputs
    assert counts["past parse"] > counts["inputs"] / 2
    assert counts["ended: encoded"] > counts["inputs"] / 10
    assert {name for name in ENCODERS if counts[f"encoded: {name}"]} == {*ENCODERS}
    assert max(growths) < MOST_GROWTH_MIB
    assert max(max(tally["memory_mib"]) for tally in tallies) < MOST_MEMORY_MIB


def fuzz(folder: Path, seed: int) -> list[Mapping[str, Any]]:
    """Run the programs beside one another, and read their tallies."""
    homes = [folder / str(number) for number in range(PROGRAMS)]
    with ExitStack() as stack:
        started = []
        for number, home in enumerate(homes):
            home.mkdir()
            log = stack.enter_context((home / "log").open("w"))
            started.append(stack.enter_context(start(home, seed + number, log)))
        try:
            statuses = [program.wait(PATIENCE_S) for program in started]
        finally:
            for program in started:
                program.kill()
    for home, status in zip(homes, statuses, strict=True):
        assert status == 0, f"{home}:\n{(home / 'log').read_text(errors='replace')[-10_000:]}"
    return [json.loads((home / "tally.json").read_text()) for home in homes]


def start(home: Path, seed: int, log: Any) -> subprocess.Popen[bytes]:
    """Start one program."""
    runs = f"{SCALE.stage_inputs // PROGRAMS}"
    command = ["-m", "tests.fuzz.stages", str(home), "--runs", runs, "--seed", str(seed)]
    return subprocess.Popen([sys.executable, *command], stdout=log, stderr=log)


def told(
    counts: Mapping[str, int], tallies: list[Mapping[str, Any]], growths: list[float]
) -> list[str]:
    """Say in words what was counted."""
    inputs, seconds = counts["inputs"], max(tally["seconds"] for tally in tallies)
    memory_mib = max(max(tally["memory_mib"]) for tally in tallies)
    shares = ", ".join(
        f"{counts[name] / inputs:.0%} {name.removeprefix('ended: ')}"
        for name in ("past parse", "past validation", "ended: encoded", "ended: 400", "ended: 422")
    )
    encoded = ", ".join(f"{name} {counts[f'encoded: {name}']:,}" for name in sorted(ENCODERS))
    return [
        f"stages: {inputs:,} inputs, {inputs / seconds:,.0f} a second; {shares}",
        f"stages: {encoded}",
        f"stages: at most {memory_mib:.0f} MiB, {max(growths):+.1f} MiB after the first fifth",
    ]
