"""The blocks of code in README.md and docs/."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[2]
_BLOCK: Final = re.compile(
    r"^(?P<indent> *)(?:<!-- (?P<marker>[^\n]*?) -->\n *)?```(?P<language>\S*)\n(?P<text>.*?)^ *```$",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    """A block of code: its page, the line on which it begins, and what it is made of."""

    page: str
    line: int
    language: str
    marker: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def commands(self) -> list[str]:
        """The commands of a shell block, each on one line, without comments; of a console, after `$`."""
        lines = self.text.replace("\\\n", " ").splitlines()
        if self.language == "console":
            lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        return [line for line in lines if line.strip() and not line.startswith("#")]


def pages() -> list[Path]:
    """Return the README and every document."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks() -> Iterator[Block]:
    """Yield every block of every page."""
    for path in pages():
        page = path.read_text(encoding="utf-8")
        for match in _BLOCK.finditer(page):
            text = re.sub(rf"^{match['indent']}", "", match["text"], flags=re.MULTILINE)
            line = page.count("\n", 0, match.start("language")) + 1
            yield Block(
                str(path.relative_to(ROOT)), line, match["language"], match["marker"] or "", text
            )


def block(page: str, start: str) -> Block:
    """Return the only block of *page* that begins with *start*."""
    [found] = (one for one in blocks() if one.page == page and one.text.startswith(start))
    return found
