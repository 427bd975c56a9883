"""How the text of a flag or a variable becomes a value; each reader raises `ValueError` with the reason."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from sonda.pipeline.text.escape import quote
from sonda.server.processors import available_processors

_MAX_WORKERS: Final = 256
_UNITS_BYTES: Final = {"": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_UNITS_S: Final = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_LARGEST_SECRET_BYTES: Final = 65536


def whole(low: int, high: int) -> Callable[[str], int]:
    """Return a reader of integers in a range."""

    def parse(text: str) -> int:
        if not re.fullmatch("[0-9]{1,20}", text) or not low <= int(text) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(text)

    return parse


def size(low: int, high: int) -> Callable[[str], int]:
    """Return a reader of sizes in bytes, such as `65536` or `64MiB`."""

    def parse(text: str) -> int:
        match = re.fullmatch("([0-9]{1,20})(|KiB|MiB|GiB)", text)
        size_bytes = int(match[1]) * _UNITS_BYTES[match[2]] if match else -1
        if not low <= size_bytes <= high:
            raise ValueError(f"must be bytes from {low} to {high}, such as 65536 or 64MiB")
        return size_bytes

    return parse


def seconds(low: float, high: float) -> Callable[[str], float]:
    """Return a reader of durations, such as `90`, which are seconds, or `24h`."""

    def parse(text: str) -> float:
        match = re.fullmatch(r"([0-9]{1,20}(?:\.[0-9]{1,20})?)(|ms|s|m|h)", text)
        span_s = float(match[1]) * _UNITS_S[match[2]] if match else -1.0
        if not low <= span_s <= high:
            raise ValueError(f"must be seconds from {low:g} to {high:g}, or a duration such as 5m")
        return span_s

    return parse


def workers(text: str) -> int:
    """Read a number of worker processes, or `auto`."""
    if text == "auto":
        return min(available_processors(), _MAX_WORKERS)
    try:
        return whole(1, _MAX_WORKERS)(text)
    except ValueError as exc:
        raise ValueError(f"{exc}, or auto") from None


def parse_key(text: str) -> str:
    """Check a key and return it; raise `ValueError` without quoting it.

    HTTP strips blanks off a header's value, so a key cannot begin or end with one.
    """
    if re.search(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]", text) or text != text.strip():
        raise ValueError(
            "must be UTF-8 without control characters, and without blanks at its start or end "
            "(the value is not shown)"
        )
    return text


def read_secret_file(path: Path) -> str:
    """Return the key that a file holds, less a final line feed.

    Raise `ValueError` where it cannot be read, is empty, or is no key.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(_LARGEST_SECRET_BYTES + 1)
    except (OSError, ValueError) as exc:
        words = getattr(exc, "strerror", None) or str(exc)
        raise ValueError(f"the file {quote(str(path))} cannot be read: {words}") from None
    if len(raw) > _LARGEST_SECRET_BYTES:
        raise ValueError(f"the file {quote(str(path))} is over {_LARGEST_SECRET_BYTES} bytes")
    text = raw.decode(errors="surrogateescape").removesuffix("\n").removesuffix("\r")
    if not text:
        raise ValueError(f"the file {quote(str(path))} is empty")
    return parse_key(text)


def host(text: str) -> str:
    """Read an address or a host name; whether it exists is seen when it is listened on."""
    if not text.isprintable() or not text.strip():
        raise ValueError("must be an address or a host name")
    return text.strip()


def one_of(names: Sequence[str]) -> Callable[[str], str]:
    """Return a reader of a name, in any case."""

    def parse(text: str) -> str:
        if text.lower() not in names:
            raise ValueError(f"must be one of {', '.join(names)}")
        return text.lower()

    return parse


def folder(text: str) -> Path:
    """Read the path of a folder that exists."""
    try:
        if Path(text).is_dir():
            return Path(text).absolute()
    except (OSError, ValueError):  # a NUL in the path, or no current folder
        pass
    raise ValueError("must be a folder that exists")


def folder_to_be(text: str) -> Path:
    """Read the path of a folder that exists or can be made."""
    try:
        path = Path(text).absolute()
        usable = text and "\0" not in text  # with a NUL it does not exist, from Python 3.13 on
        if usable and (path.is_dir() or not path.exists()):
            return path
    except (OSError, ValueError):
        pass
    raise ValueError("must be a folder, or the path of one that can be made")


def file(text: str) -> Path:
    """Read the path of a file that exists."""
    try:
        if Path(text).is_file():
            return Path(text).absolute()
    except (OSError, ValueError):
        pass
    raise ValueError("must be a file that exists")


def each(what: str, parse: Callable[[str], object]) -> Callable[[str], list[object]]:
    """Return a reader of several values, separated by commas."""

    def parse_all(text: str) -> list[object]:
        values = []
        for item in map(str.strip, text.split(",")):
            try:
                values.append(parse(item))
            except ValueError as exc:
                raise ValueError(f"must be {what}, not {quote(item)}: {exc}") from None
        return values

    return parse_all
