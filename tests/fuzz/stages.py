"""Feed the pure stages with bodies along the schemas, under atheris: a program of its own.

`python -m tests.fuzz.stages FOLDER --runs N --seed N` makes as many inputs, keeps its corpus in the
folder, and writes `tally.json` there: what was counted and how much memory it took. It ends with an
error, and leaves the input in the folder, as soon as a stage raises, hangs or grows.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

import atheris
import msgspec
from atheris.import_hook import instrument_imports
from returns.result import Result, Success

with instrument_imports(include=["sonda.pipeline"]):
    from sonda.envelope import envelope
    from sonda.pipeline import encoders, sinks
    from sonda.pipeline.problems import Problem
    from sonda.pipeline.stages.encode import encode
    from sonda.pipeline.stages.parse import parse
    from sonda.pipeline.stages.preflight import preflight
    from sonda.pipeline.stages.validate import validate
    from sonda.statuses import http_status

from tests.fuzz.choices import Choices
from tests.fuzz.guard import Guard, on_duty_from_now
from tests.fuzz.shapes import ENCODERS, SINKS, raw_body

LONGEST_INPUT_BYTES: Final = 512
LONGEST_RUN_S: Final = 5
STRICTER: Final = (
    "out of the range of a double",
    "stands twice in one object",
    "nested too deeply",
    "expected an object",
)
REPORTS: Final = 50


class Fuzzing:
    """The stages behind one another, what they are fed with, and what became of it."""

    def __init__(self, folder: Path, runs: int) -> None:
        self._tally = folder / "tally.json"
        self._counts: Counter[str] = Counter(inputs=0)
        self._every = max(1, runs // REPORTS)
        self._began_s = time.monotonic()
        self._memory_mib: list[float] = []

    def __call__(self, raw: bytes) -> None:
        """Run one input; raises if a law does not hold."""
        body = raw_body(Choices(raw))
        self._counts["inputs"] += 1
        self._counts[f"ended: {self._run(body)}"] += 1
        if self._counts["inputs"] % self._every == 0:
            self._report()

    def _run(self, body: bytes) -> str:
        parsed = parse(body)
        another_reads_alike(body, parsed)
        if not isinstance(parsed, Success):
            return _refused(parsed.failure())
        self._counts["past parse"] += 1
        validated = validate(parsed.unwrap(), received_ns=1).bind(
            lambda validated: preflight(validated, in_server=True)
        )
        if not isinstance(validated, Success):
            return _refused(validated.failure())
        self._counts["past validation"] += 1
        for warning in validated.unwrap().warnings:
            assert warning.isprintable(), warning
        encoded = encode(validated.unwrap())
        if not isinstance(encoded, Success):
            return _refused(encoded.failure())
        payload = encoded.unwrap().payload
        assert payload.packing.pack(payload.body)
        self._counts[f"encoded: {payload.encoder}"] += 1
        return "encoded"

    def _report(self) -> None:
        self._memory_mib.append(resident_mib())
        report = {
            "counts": self._counts,
            "seconds": time.monotonic() - self._began_s,
            "memory_mib": self._memory_mib,
        }
        self._tally.write_text(json.dumps(report))


def resident_mib() -> float:
    """Ask for the memory that is taken now; the most that was is, at first, the parent process's."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def another_reads_alike(body: bytes, parsed: Result[dict[str, Any], Problem]) -> None:
    """Compare with another parser: what we take it reads as we do, what only it takes we say why not."""
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        assert not isinstance(parsed, Success), body
        return
    if isinstance(parsed, Success):
        assert document == parsed.unwrap(), body
    else:
        assert any(reason in str(parsed.failure()) for reason in STRICTER), (body, parsed)


def _refused(problem: Any) -> str:
    """Hold a refusal to what every one of them must be, and name its status."""
    status, detail = http_status(problem), str(problem)
    assert status in (400, 422), status
    assert detail, problem
    assert detail.isprintable(), detail
    json.loads(envelope(status, detail))
    return str(status)


def main() -> None:
    """Read the command line, and fuzz."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--runs", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    given = parser.parse_args()
    corpus = given.folder / "corpus"
    corpus.mkdir()
    chance = random.Random(given.seed)  # noqa: S311  # not for secrets
    for number in range(300):
        written = chance.randbytes(LONGEST_INPUT_BYTES if number else 0)
        (corpus / f"{number}").write_bytes(written)
    for kind, names in ((encoders, ENCODERS), (sinks, SINKS)):
        for name in names:
            kind.load(name)
    flags = (
        f"-runs={given.runs}",
        f"-seed={given.seed}",
        f"-max_len={LONGEST_INPUT_BYTES}",
        f"-timeout={LONGEST_RUN_S}",
        "-rss_limit_mb=0",  # its figure is the most that was, the parent's before the start included
        f"-artifact_prefix={given.folder}/",
        "-len_control=0",
        "-print_final_stats=1",
    )
    on_duty_from_now(Guard(folder=given.folder))
    atheris.Setup([sys.argv[0], *flags, str(corpus)], Fuzzing(given.folder, given.runs))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
