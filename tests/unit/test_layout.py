"""Unit tests lie as the modules do: what tests a module is found by the module's name."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path
from typing import Final

import pytest

HERE: Final = Path(__file__).parent
SONDA: Final = HERE.parents[1] / "sonda"
DOCSTRING_LINES: Final = 5
OF_MANY: Final = {
    "test_language.py": "the words of all modules",
    "test_layout.py": "where unit tests lie",
    "pipeline/net/test_early_answers.py": "the exchange, the pool and the connection",
    "pipeline/net/test_kept_connections.py": "a request from the transport through the pool",
    "pipeline/net/test_network.py": "what the network's parts share",
    "pipeline/net/test_zones.py": "addresses with a zone, from the resolver to the socket",
    "pipeline/scenarios/test_csv.py": "compile_csv, csv_table and csv_replay",
    "pipeline/scenarios/test_generators.py": "every generator, each against a model of its own",
    "pipeline/scenarios/test_hostile.py": "documents that are meant to hurt",
    "pipeline/stages/test_encode_aggregates.py": "histograms and summaries in every encoder",
    "pipeline/stages/test_hostile_bodies.py": "bodies that are meant to hurt",
}
"""Files that test several modules at once, and what they test."""
ELSEWHERE: Final = {
    "__init__.py": "unit/test_library.py",
    "cli/__init__.py": "cli/test_cli.py",
    "cli/check.py": "cli/test_cli.py",
    "cli/commands.py": "cli/test_cli.py",
    "cli/emit.py": "cli/test_cli.py",
    "cli/run.py": "cli/test_run.py",
    "cli/scenarios.py": "cli/test_scenarios.py",
    "http.py": "server/test_http.py",
    "loops.py": "test_platforms.py",
    "observe/*.py": "server/test_metrics.py",
    "pipeline/*.py": "property/test_pipeline.py",
    "pipeline/net/*.py": "sinks/test_http_push.py",
    "pipeline/scenarios/compile_*.py": "unit/pipeline/scenarios/test_compile.py",
    "pipeline/scenarios/csv_*.py": "unit/pipeline/scenarios/test_csv.py",
    "pipeline/scenarios/distributions/*.py": "unit/pipeline/scenarios/test_distributions.py",
    "pipeline/scenarios/generators/*.py": "unit/pipeline/scenarios/test_generators.py",
    "pipeline/scenarios/limits.py": "unit/pipeline/scenarios/test_entry_limits.py",
    "pipeline/scenarios/local_files.py": "unit/pipeline/scenarios/test_csv.py",
    "pipeline/scenarios/log_generators/__init__.py": "unit/pipeline/scenarios/test_generators.py",
    "pipeline/scenarios/schedule.py": "property/test_schedule.py",
    "pipeline/scenarios/segments.py": "property/test_segments.py",
    "pipeline/scenarios/timing.py": "property/test_segments.py",
    "pipeline/scenarios/vectors.py": "unit/pipeline/scenarios/test_rendering.py",
    "pipeline/scenarios/*.py": "unit/pipeline/scenarios/test_run.py",
    "pipeline/sinks/file.py": "sinks/test_file.py",
    "pipeline/sinks/kafka/*.py": "sinks/test_kafka.py",
    "pipeline/sinks/otlp_grpc/*.py": "sinks/test_otlp_grpc.py",
    "pipeline/sinks/stdout.py": "sinks/test_stdout.py",
    "pipeline/stages/preview.py": "sinks/test_preview.py",
    "resources/*.py": "server/test_http.py",
    "server/*.py": "server/test_server.py",
    "server/docs/page.py": "server/test_docs_page.py",
    "server/docs/*.py": "server/test_openapi.py",
    "server/scenarios/*.py": "server/test_scenarios.py",
}
"""Modules without a file of their own, and the file below `tests` that shows what they do.

They are whole only with a server, a terminal or a destination, or are of many that are tested alike.
"""
COMPLETE: Final = (
    "pipeline/encoders",
    "pipeline/plugins",
    "pipeline/policy",
    "pipeline/schemas",
    "pipeline/text",
    "pipeline/values",
    "pipeline/verify",
)
"""The rooms in which every module has a file of its own."""


def _has_file(module: str) -> bool:
    path = Path(module)
    name = path.parent.name if path.name == "__init__.py" else path.stem
    folder = path.parent.parent if path.name == "__init__.py" else path.parent
    return (HERE / folder / f"test_{name}.py").is_file()


def _fits(module: str, pattern: str) -> bool:
    return module.count("/") == pattern.count("/") and fnmatch(module, pattern)


def _has_code(path: Path) -> bool:
    """Return whether a module is more than a docstring, and not made from a `.proto` file."""
    is_made = path.name.endswith("_pb2.py")
    return not is_made and len(path.read_text(encoding="utf-8").splitlines()) > DOCSTRING_LINES


def test_every_module_is_tested_somewhere() -> None:
    """By the file that has its name, or by the one that is said; nothing is said for nothing."""
    modules = [
        path.relative_to(SONDA).as_posix() for path in SONDA.rglob("*.py") if _has_code(path)
    ]
    used: set[str] = set()
    for module in modules:
        if not _has_file(module):
            pattern = next((one for one in ELSEWHERE if _fits(module, one)), None)
            assert pattern is not None, (
                f"{module} has no unit test file, and is not said to be tested"
            )
            used.add(pattern)
    assert used == ELSEWHERE.keys()
    for file in ELSEWHERE.values():
        assert (HERE.parent / file).is_file(), file


def test_a_file_tests_the_module_of_its_name() -> None:
    """One that is left behind by a renamed module would be found here."""
    files = {str(path.relative_to(HERE)) for path in HERE.rglob("test_*.py")}
    assert {*OF_MANY} <= files
    for name in files - {*OF_MANY}:
        path = Path(name)
        module = SONDA / path.parent / path.name.removeprefix("test_")
        package = module.with_suffix("") / "__init__.py"
        assert module.is_file() or package.is_file(), name


@pytest.mark.parametrize("room", COMPLETE)
def test_a_module_has_its_file(room: str) -> None:
    """In the rooms of small pure modules each is tested by itself."""
    found = (path for path in (SONDA / room).glob("*.py") if _has_code(path))
    modules = {path.name for path in found} - {"__init__.py"}
    files = {path.name.removeprefix("test_") for path in (HERE / room).glob("test_*.py")}
    assert modules <= files
