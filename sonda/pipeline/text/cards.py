"""Receipts, problems and previews as lines of text, and as HTML in a notebook.

Whatever is shown may come from a destination or from a stranger's event: lines hold no control
characters, and HTML no markup but our own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, ClassVar, Final, Protocol, TypeAlias

from sonda.pipeline.text.escape import escape

Rows: TypeAlias = Iterable[tuple[str, Sequence[str]]]

_HEX_DIGITS_PER_LINE: Final = 64
_BLOCKS: Final = ("headers", "text", "hex", "decoded")  # of a preview: what has several lines
_WORDS: Final = re.compile(r"(?<!^)(?=[A-Z])")


class Tone(Enum):
    """The colour beside a card, legible on a light and on a dark page."""

    GOOD = "#2e9e4f"
    BAD = "#d64545"
    UNSURE = "#d08a00"
    PLAIN = "#4a8fd8"


class _Printer(Protocol):
    """The argument that IPython passes to `_repr_pretty_`."""

    def text(self, text: str) -> None: ...


class Shown:
    """A value that reads well in IPython and Jupyter; this is how problems look."""

    __slots__ = ()
    tone: ClassVar = Tone.BAD

    def _repr_pretty_(self, printer: _Printer, _cycle: bool) -> None:
        printer.text(str(self))

    def _repr_html_(self) -> str:
        """Return a card that says what happened, every issue on a line of its own, and what may be concluded."""
        kind = type(self)
        said = [str(issue) for issue in getattr(self, "issues", ())] or [str(self)]
        if more := getattr(self, "more", 0):
            said.append(f"and {more} more")
        conclusion = (kind.__doc__ or "").partition("\n")[0]
        title = _WORDS.sub(" ", kind.__name__).capitalize()
        return card(self.tone, title, [("", said)], conclusion)


def lines_of_preview(document: Mapping[str, Any], warnings: Iterable[str] = ()) -> list[str]:
    """Return a preview's JSON as lines, the bytes last: as text, or as hex beside what they mean."""
    return list(_aligned([*_rows_of_preview(document), *(("warning", [one]) for one in warnings)]))


def html_of_preview(document: Mapping[str, Any], warnings: Iterable[str] = ()) -> str:
    """Return the same as a card."""
    (_, [where]), *rows = _rows_of_preview(document)
    title = f"Would go to {where}"
    return card(Tone.PLAIN, title, [*rows, *(("warning", [one]) for one in warnings)])


def _rows_of_preview(document: Mapping[str, Any]) -> Iterable[tuple[str, list[str]]]:
    if "sink" in document:
        where = (str(document["sink"]), str(document.get("target")))
        yield "sink", [" ".join(dict.fromkeys(where))]  # stdout is both
    for name, value in document.items():
        if name not in ("sink", "target"):
            yield name, _lines(value, name if name in _BLOCKS else "")


def _lines(value: Any, block: str) -> list[str]:
    match block, value:
        case "headers", [*pairs]:
            return [
                ": ".join(map(str, pair)) if isinstance(pair, (list, tuple)) else str(pair)
                for pair in pairs
            ]
        case "text", str():
            return value.removesuffix("\n").split("\n")
        case "hex", str():
            starts = range(0, len(value), _HEX_DIGITS_PER_LINE)
            return [value[start : start + _HEX_DIGITS_PER_LINE] for start in starts]
        case "decoded", _:
            return json.dumps(value, ensure_ascii=False, indent=2).split("\n")
        case _:
            return [str(value)]


def _aligned(rows: Rows) -> Iterable[str]:
    listed = list(rows)
    width = max((len(escape(name)) for name, _ in listed), default=0)
    for name, lines in listed:
        for place, line in enumerate(lines):
            before = escape(name) if place == 0 else ""
            yield f"{before:{width}}  {escape(line)}".rstrip()


def card(tone: Tone, title: str, rows: Rows, note: str = "") -> str:
    """Return a card of HTML: a title, a table of names with the lines of their values, a note."""
    from html import escape as escaped

    def cell(lines: Sequence[str]) -> str:
        return "<br>".join(escaped(escape(line)) for line in lines)

    def row(name: str, lines: Sequence[str]) -> str:
        label = f'<td style="opacity:.65;{_CELL}">{escaped(escape(name))}</td>' if name else ""
        return f'<tr style="background:none">{label}<td style="{_VALUE}">{cell(lines)}</td></tr>'

    table = "".join(row(name, lines) for name, lines in rows)
    below = f'<div style="opacity:.65">{escaped(escape(note))}</div>' if note else ""
    return (
        f'<div style="border-left:4px solid {tone.value};padding:.2em 0 .2em .8em;margin:.3em 0">'
        f"<div><strong>{escaped(escape(title))}</strong></div>"
        f'<table style="margin:.2em 0;border:none;border-collapse:collapse">{table}</table>'
        f"{below}</div>"
    )


_CELL: Final = "border:none;padding:.1em 1em .1em 0;text-align:left;vertical-align:top"
_VALUE: Final = f"{_CELL};font-family:monospace;white-space:pre-wrap;overflow-wrap:anywhere"
