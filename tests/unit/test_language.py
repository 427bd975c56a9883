"""The words of `docs/glossary.md`, the language of docstrings, and the length of files in `sonda/`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
SONDA: Final = ROOT / "sonda"
MODULES: Final = tuple(
    path.relative_to(SONDA).as_posix()
    for path in sorted(SONDA.rglob("*.py"))
    if not path.name.endswith("_pb2.py")
)

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
MOST_LINES: Final = 350
LONG: Final = frozenset[str]()  # still to be split; Kafka's client may stay as it is


_OLD_WORD: Final = re.compile(r"\b_?(journey|confinement|setback|sheet|spot)s?\b")
_NAMED: Final = re.compile(r"^ *(?:class|(?:async )?def) +(\w+)", re.MULTILINE)
_DOCSTRING: Final = re.compile(r'^ *[rR]?"""\s*(?:Give|Say|Tell|Have)s?\b.*', re.MULTILINE)


@pytest.fixture(scope="module")
def modules() -> dict[str, str]:
    """Return the text of every module; to parse them all takes seconds."""
    return {path: (SONDA / path).read_text(encoding="utf-8") for path in MODULES}


def test_old_names_do_not_come_back(modules: dict[str, str]) -> None:
    """No module, class, function or method has a name that the glossary's words have replaced."""
    old = {
        path: {name for name in _NAMED.findall(text) if name.lstrip("_") in OLD_NAMES}
        | {Path(path).stem} & OLD_MODULES
        for path, text in modules.items()
    }
    assert {path: names for path, names in old.items() if names} == {}


def test_old_words_do_not_come_back(modules: dict[str, str]) -> None:
    """Nor has an attribute, an argument or a variable one, which nothing defines by a keyword."""
    found = {(path, word) for path, text in modules.items() for word in _OLD_WORD.findall(text)}
    assert found == set()


def test_docstrings_are_technical_english(modules: dict[str, str]) -> None:
    """A docstring says "Return", "Raise" or "Wait until", as PEP 257 does."""
    assert [
        (path, line) for path, text in modules.items() for line in _DOCSTRING.findall(text)
    ] == []


def test_every_name_is_found() -> None:
    """Nested ones and asynchronous ones, too; what only looks like one is no harm."""
    text = "class A(B):\n    async def _c(self):\n        def d(): ...\ndefault = 1\n"
    assert _NAMED.findall(text) == ["A", "_c", "d"]
    assert _DOCSTRING.findall('    """Give x."""\n"""Tells y."""\n"""Given z."""') == [
        '    """Give x."""',
        '"""Tells y."""',
    ]


def test_files_are_short() -> None:
    """No file has more lines than can be held in mind."""
    long = {
        path
        for path in MODULES
        if len((SONDA / path).read_text(encoding="utf-8").splitlines()) > MOST_LINES
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
