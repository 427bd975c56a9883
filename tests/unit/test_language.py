"""The words of `docs/glossary.md`, the language of docstrings, and the length of files in `sonda/`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TypeAlias

import pytest

ROOT: Final = Path(__file__).parents[2]
MODULES: Final = {
    path.relative_to(ROOT / "sonda").as_posix(): ast.parse(path.read_text(encoding="utf-8"))
    for path in sorted((ROOT / "sonda").rglob("*.py"))
    if not path.name.endswith("_pb2.py")
}
Named: TypeAlias = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef

# Metaphors and words that had several meanings.
OLD_NAMES: Final = frozenset(
    {
        *("Order", "Chosen", "Parcel", "Pushed", "Pending", "Acknowledged", "Departure", "Place"),
        *("Packing", "Waiting", "Limits", "Names", "Line", "Sheet", "Book", "Shell", "Delivers"),
        *("Doorman", "Confinement", "Shares", "Crowded", "Course", "Account", "Dialect", "Flaw"),
        *("Finding", "Setback", "Job", "Turn", "Way", "Silence", "Kept", "Spot", "Access", "part"),
        *(
            "seal",
            "ring",
            "remembered",
            "keep",
            "turn",
            "may_pass",
            "blames_event",
            "tell",
            "settle",
        ),
        *(
            "alone",
            "hear_out",
            "see_off",
            "board",
            "goes_on",
            "hung_up",
            "here",
            "nowhere",
            "through",
        ),
    }
)
OLD_MODULES: Final = frozenset(
    {"names", "memory", "lines", "answers", "ids", "doorman", "shares", "course", "confinement"}
)
# Still to be renamed; nothing may be added.
TO_RENAME: Final = {
    "answers.py": {"answers"},
}
MOST_LINES: Final = 350
LONG: Final = frozenset[str]()  # still to be split; Kafka's client may stay as it is


def named(module: ast.Module) -> Iterator[Named]:
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return (node for node in ast.walk(module) if isinstance(node, kinds))


@pytest.mark.parametrize("path", MODULES)
def test_old_names_do_not_come_back(path: str) -> None:
    """No module, class, function or method has a name that the glossary's words have replaced."""
    old = {node.name for node in named(MODULES[path]) if node.name.lstrip("_") in OLD_NAMES}
    old |= {Path(path).stem} & OLD_MODULES
    assert old <= TO_RENAME.get(path, set())


@pytest.mark.parametrize("path", sorted(MODULES))
def test_docstrings_are_technical_english(path: str) -> None:
    """A docstring says "Return", "Raise" or "Wait until", as PEP 257 does."""
    nodes = [MODULES[path], *named(MODULES[path])]
    docstrings = [ast.get_docstring(node) or "" for node in nodes]
    assert [text for text in docstrings if re.match(r"(?:Give|Say|Tell|Have)s?\b", text)] == []


def test_files_are_short() -> None:
    """No file has more lines than can be held in mind."""
    long = {
        path
        for path in MODULES
        if len((ROOT / "sonda" / path).read_text(encoding="utf-8").splitlines()) > MOST_LINES
        if not path.startswith("pipeline/sinks/kafka/")
    }
    assert long <= LONG


def test_the_glossary_is_in_order() -> None:
    """Each word stands there once, with one line, and its meaning holds no old name."""
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (.+?) \| (.+?) \|$", text, re.MULTILINE)[1:]
    words = [word for word, _ in rows]
    assert len(words) == len(set(words)) >= 30
    assert not {word for word in words if word in OLD_NAMES}
