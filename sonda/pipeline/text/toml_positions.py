"""Where in a TOML text each member stands, which the standard library's reader does not tell.

The text must be one that `tomllib` has read: nothing is checked here.
Spec: https://toml.io/en/v1.0.0
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Final, TypeAlias

from sonda.pipeline.text.positions import Position, Step, at_offset

Path: TypeAlias = tuple[Step, ...]

_BLANKS: Final = re.compile(r"[ \t]*")
_SPACE: Final = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_STRING: Final = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}|'
    r"'''.*?'{3,5}|"
    r'"(?:[^"\\\n]|\\.)*"|'
    r"'[^'\n]*'",
    re.DOTALL,
)
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_LONG_ESCAPE: Final = re.compile(r"\\U([0-9A-Fa-f]{8})")
_SCALAR: Final = re.compile(r"[^,\]}#\n]*")


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.offset = 0
        self.found: dict[Path, int] = {}
        self._counts: dict[Path, int] = {}

    def scan(self) -> None:
        table: Path = ()
        while self._at_next_member():
            start = self.offset
            if self._starts("[["):
                name = self._resolved(self._header(2))
                self._counts[name] = number = self._counts.get(name, -1) + 1
                table = (*name, number)
                self._note(table, start)
            elif self._starts("["):
                table = self._resolved(self._header(1))
                self._note(table, start)
            else:
                self._member(table)

    def _at_next_member(self) -> bool:
        self._pass(_SPACE)
        return self.offset < len(self.text)

    def _starts(self, sign: str) -> bool:
        return self.text.startswith(sign, self.offset)

    def _pass(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.offset)
        self.offset = match.end() if match else self.offset
        return match[0] if match else ""

    def _header(self, brackets: int) -> Path:
        self.offset += brackets
        name = self._key()
        self.offset += brackets
        return name

    def _key(self) -> Path:
        """Pass a dotted key; return its parts."""
        parts: list[str] = []
        while True:
            self._pass(_BLANKS)
            if quoted := self._pass(_STRING):
                is_basic = quoted.startswith('"')
                parts.append(_unescaped(quoted) if is_basic else quoted[1:-1])
            else:
                parts.append(self._pass(_BARE))
            self._pass(_BLANKS)
            if not self._starts("."):
                return tuple(parts)
            self.offset += 1

    def _resolved(self, name: Path) -> Path:
        """Return the path of a header, which stands for the latest element of an array of tables."""
        path: Path = ()
        for place, part in enumerate(name):
            path = (*path, part)
            if path in self._counts and place < len(name) - 1:
                path = (*path, self._counts[path])
        return path

    def _note(self, path: Path, start: int) -> None:
        for length in range(1, len(path) + 1):
            self.found.setdefault(path[:length], start)
        self.found[path] = start

    def _member(self, table: Path) -> None:
        start = self.offset
        path = (*table, *self._key())
        self._note(path, start)
        self.offset += 1  # the equals sign
        self._pass(_BLANKS)
        self._value(path)

    def _value(self, path: Path) -> None:
        if self._starts("["):
            self._array(path)
        elif self._starts("{"):
            self._inline_table(path)
        elif not self._pass(_STRING):
            self._pass(_SCALAR)

    def _array(self, path: Path) -> None:
        self.offset += 1
        number = 0
        self._pass(_SPACE)
        while not self._starts("]"):
            self._note((*path, number), self.offset)
            self._value((*path, number))
            number += 1
            self._after_element()
        self.offset += 1

    def _inline_table(self, path: Path) -> None:
        self.offset += 1
        self._pass(_SPACE)
        while not self._starts("}"):
            self._member(path)
            self._after_element()
        self.offset += 1

    def _after_element(self) -> None:
        self._pass(_SPACE)
        if self._starts(","):
            self.offset += 1
            self._pass(_SPACE)
        elif self.offset >= len(self.text):
            raise ValueError("the text is no TOML")


def _unescaped(quoted: str) -> str:
    return str(json.loads(_LONG_ESCAPE.sub(lambda found: chr(int(found[1], 16)), quoted)))


class TomlPositions:
    """The positions of all members of a text that `tomllib` has read."""

    def __init__(self, text: str) -> None:
        self._text = text
        scanner = _Scanner(text)
        scanner.scan()
        self._offsets = scanner.found

    def find(self, steps: Sequence[Step]) -> Position | None:
        """Return the position of the last member on the way of *steps* that is there."""
        ways = (tuple(steps[:length]) for length in range(len(steps), 0, -1))
        offset = next((self._offsets[way] for way in ways if way in self._offsets), None)
        return None if offset is None else at_offset(self._text, offset)
