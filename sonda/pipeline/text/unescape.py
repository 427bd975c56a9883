r"""Text with its escapes undone, layer by layer, and where each character stood before.

A destination that sends back what it was sent may quote it as JSON (`\/`, `\u0026`), HTML (`&amp;`,
`&#x26;`), a URL (`%26`, `%u0026`), source code (`\x26`, `\x{26}`, `\46`), or as one inside another.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

LAYERS: Final = 6
"""How many escapes inside one another are undone."""

_PERCENT: Final = r"(?P<bytes>(?:%[0-9A-Fa-f]{2})+|(?:\\x[0-9A-Fa-f]{2})+)"
_BACKSLASH: Final = (
    r"(?:\\u|\\x)\{(?P<braced>[0-9A-Fa-f]{1,6})\}"
    r"|%u(?P<url>[0-9A-Fa-f]{4})"
    r"|\\(?:u(?P<four>[0-9A-Fa-f]{4})|U(?P<eight>[0-9A-Fa-f]{8}))"
    r"|\\(?P<octal>[0-3][0-7]{2}|[1-7][0-7])"
    r"|\\(?P<plain>.)"
)
_HTML: Final = r"(?P<html>&(?:\#[0-9]{1,8}|\#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});?)"
_ANY: Final = re.compile(f"{_PERCENT}|{_BACKSLASH}|{_HTML}", re.DOTALL)
_EACH: Final = tuple(re.compile(kind, re.DOTALL) for kind in (_PERCENT, _BACKSLASH, _HTML))
_BYTE: Final = re.compile(r"(?:%|\\x)([0-9A-Fa-f]{2})")
_NAMED: Final = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", "v": "\v", "0": "\0"}
_MARKS: Final = frozenset("%\\&")
_FIRST_ASTRAL: Final = 0x10000
_LAST: Final = 0x10FFFF


@dataclass(frozen=True, slots=True)
class Layer:
    """A text, and for each character the part of the original text that it stands for."""

    text: str
    starts: list[int]
    ends: list[int]

    @classmethod
    def of(cls, text: str) -> Layer:
        """Return the outermost layer: *text* as it is."""
        return cls(text, list(range(len(text))), list(range(1, len(text) + 1)))


def unescaped(text: str) -> tuple[list[Layer], bool]:
    r"""Return *text* as it is, then with one more layer of escapes undone each time.

    Of each kind of escape there is a layer without that kind alone, too: `\&quot;` may be a
    backslash and a quote. The flag is true if more than `LAYERS` were inside one another.
    """
    found = [Layer.of(text)]
    if _MARKS.isdisjoint(text):
        return found, False
    for _ in range(LAYERS):
        inner = _undo(found[-1], _ANY)
        if inner.text == found[-1].text:
            break
        found.append(inner)
    some_left = len(found) > LAYERS and not _MARKS.isdisjoint(found[-1].text)
    return found + [_undo(found[0], kind) for kind in _EACH], some_left


def count_marks(text: str) -> int:
    """Return how many escapes *text* can hold at most."""
    return sum(map(text.count, _MARKS))


def _undo(layer: Layer, escape: re.Pattern[str]) -> Layer:
    text: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    at = 0
    for match in escape.finditer(layer.text):
        begin, end = match.span()
        if match.lastgroup == "html" and _entity(match[0]) == match[0]:
            continue  # it means nothing
        text.append(layer.text[at:begin])
        starts += layer.starts[at:begin]
        ends += layer.ends[at:begin]
        for character, first, last in _meaning(match):
            meant = split_astral(character)
            text.append(meant)
            starts += [layer.starts[first]] * len(meant)
            ends += [layer.ends[last - 1]] * len(meant)
        at = end
    text.append(layer.text[at:])
    starts += layer.starts[at:]
    ends += layer.ends[at:]
    return Layer("".join(text), starts, ends)


def _meaning(match: re.Match[str]) -> Iterator[tuple[str, int, int]]:
    """Yield what an escape means, with where that stands."""
    begin, end = match.span()
    kind, written = match.lastgroup, match[match.lastgroup or 0]
    match kind:
        case "bytes":
            yield from _characters(match)
        case "html":
            yield _entity(written), begin, end
        case "plain":
            yield _NAMED.get(written, written), begin, end
        case _:
            code = int(written, 8 if kind == "octal" else 16)
            yield (chr(code) if code <= _LAST else ""), begin, end


def _entity(written: str) -> str:
    """Return what a character reference means; unlike in HTML, a number is always a code point."""
    number = written.rstrip(";").removeprefix("&#")
    if number == written.rstrip(";"):
        from html import unescape  # its table of names costs a start 1 ms

        return unescape(written)
    code = int(number[1:], 16) if number[0] in "xX" else int(number)
    return chr(code) if code <= _LAST else ""


def _characters(match: re.Match[str]) -> Iterator[tuple[str, int, int]]:
    """Yield the characters of a run of bytes: UTF-8, and Latin-1 where it is none."""
    decoding = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    first = match.start()
    for byte in _BYTE.finditer(match[0]):
        last = match.start() + byte.end()
        meant = decoding.decode(bytes.fromhex(byte[1]))
        if meant:
            yield _latin_1(meant), first, last
            first = last
    if meant := decoding.decode(b"", final=True):
        yield _latin_1(meant), first, match.end()


def _latin_1(text: str) -> str:
    if text.isascii():
        return text
    return "".join(chr(ord(c) - 0xDC00) if "\udc80" <= c <= "\udcff" else c for c in text)


def folded(text: str) -> str:
    """Return *text* so that spellings which mean the same are equal; its length stays.

    Letters are lowered; what is not printable is read as a blank, and so is a form's plus sign.
    """
    lowered = text.lower()
    if len(lowered) != len(text):  # some letters have more than one in lower case
        lowered = "".join(c if len(c.lower()) > 1 else c.lower() for c in text)
    lowered = lowered.replace("+", " ")
    if lowered.isprintable():
        return lowered
    return "".join(c if c.isprintable() else " " for c in lowered)


def split_astral(text: str) -> str:
    """Return *text* with two surrogates for each character that JSON escapes as two."""
    if text.isascii() or max(text) < chr(_FIRST_ASTRAL):
        return text
    units = (c.encode("utf-16-be", "surrogatepass") for c in text)
    return "".join(
        chr(int.from_bytes(unit[at : at + 2])) for unit in units for at in range(0, len(unit), 2)
    )
