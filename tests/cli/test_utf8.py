"""What is typed is UTF-8, in any locale."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.support.command_line import process, typed

NOT_UTF8 = os.fsdecode(b"caf\xe9")
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def test_a_locale_of_ascii_alone(home: Path) -> None:
    """Message, labels, fields and the path arrive as they were typed."""
    words = ("emit", "log", "h\u00e9 \u20ac", "-l", "k=\u00fc", "-f", "\u00fc=\u20ac")
    result = process(*words, "--to", "file=\u20ac.log", env={**os.environ, **ASCII})
    assert (result.returncode, result.stderr) == (0, "")
    event = json.loads((home / "\u20ac.log").read_text(encoding="utf-8"))
    assert event["message"] == "h\u00e9 \u20ac"
    assert event["labels"] == {"k": "\u00fc"}
    assert event["fields"] == {"\u00fc": "\u20ac"}


@pytest.mark.parametrize(
    ("words", "where"),
    [
        (("log", NOT_UTF8, "--to", "file=x"), "byte 4 of 4"),
        (("log", "x", "-l", f"k={NOT_UTF8}", "--to", "file=x"), "byte 4 of 4"),
        (("log", "x", "-f", f"{NOT_UTF8}=v", "--to", "file=x"), "byte 4 of 4"),
        (("log", "x", "--to", f"file={NOT_UTF8}"), "byte 9 of 9"),
        (("metric", NOT_UTF8, "1", "--to", "file=x"), "byte 4 of 4"),
        (("log", "x", "--to", "file=x", "--set", f"sink.path={NOT_UTF8}"), "byte 14 of 14"),
    ],
)
def test_bytes_that_are_no_utf8(words: tuple[str, ...], where: str, home: Path) -> None:
    """A mistake that is named as one; nothing is written."""
    result = typed("emit", *words)
    assert result.exit_code == 2
    assert result.stderr.endswith(f"Error: what was typed is not UTF-8 at {where}\n")
    assert list(home.iterdir()) == []
