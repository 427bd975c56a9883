"""Unit tests lie as the modules do: what tests a module is found by the module's name."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

HERE: Final = Path(__file__).parent
SONDA: Final = HERE.parents[1] / "sonda"
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
COMPLETE: Final = (
    "pipeline/plugins",
    "pipeline/policy",
    "pipeline/schemas",
    "pipeline/text",
    "pipeline/values",
)
"""The rooms in which every module has a file of its own."""


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
    modules = {path.name for path in (SONDA / room).glob("*.py")} - {"__init__.py"}
    files = {path.name.removeprefix("test_") for path in (HERE / room).glob("test_*.py")}
    assert modules <= files
