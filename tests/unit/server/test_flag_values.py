"""The values of the server's flags: what is read, and what is refused with a reason."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sonda.server import flag_values
from sonda.server.flag_values import (
    each,
    file,
    folder,
    folder_to_be,
    host,
    one_of,
    parse_key,
    read_secret_file,
    seconds,
    size,
    whole,
    workers,
)

BYTES = size(10, 2**30)
SPAN = seconds(0.1, 3600)


@pytest.mark.parametrize(
    ("parse", "text", "expected"),
    [
        (whole(0, 65535), "0", 0),
        (whole(0, 65535), "065535", 65535),
        (BYTES, "10", 10),
        (BYTES, "64MiB", 64 * 2**20),
        (BYTES, "1GiB", 2**30),
        (SPAN, "90", 90.0),
        (SPAN, "1.5m", 90.0),
        (SPAN, "100ms", 0.1),
        (SPAN, "1h", 3600.0),
        (workers, "3", 3),
        (host, " h ", "h"),
        (one_of(("info", "debug")), "INFO", "info"),
        (each("numbers", whole(1, 9)), "1, 2,3", [1, 2, 3]),
    ],
)
def test_what_is_read(parse: Callable[[str], object], text: str, expected: object) -> None:
    """Bounds are included, and units are as in the rest of the command line."""
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("parse", "text", "reason"),
    [
        *((whole(1, 9), text, "from 1 to 9") for text in ("0", "10", "-1", "1.0", "", "٣", " 1")),
        (whole(1, 9), "1" * 5000, "from 1 to 9"),
        *((BYTES, text, "such as 65536 or 64MiB") for text in ("9", "2GiB", "1kb", "1 KiB", "x")),
        *(
            (SPAN, text, "a duration such as 5m")
            for text in ("0", "61m", "1d", ".5s", "nan", "-1s")
        ),
        *((workers, text, "from 1 to 256, or auto") for text in ("0", "257", "AUTO")),
        *((host, text, "an address or a host name") for text in ("", " ", "a\nb")),
        (one_of(("info", "debug")), "warn", "must be one of info, debug"),
        (each("numbers", whole(1, 9)), "1,x", 'must be numbers, not "x": '),
    ],
)
def test_what_is_refused(parse: Callable[[str], object], text: str, reason: str) -> None:
    """The reason says what would be right."""
    with pytest.raises(ValueError, match=reason):
        parse(text)


@pytest.mark.parametrize(("processors", "expected"), [(6, 6), (1000, 256)])
def test_as_many_workers_as_processors(
    monkeypatch: pytest.MonkeyPatch, processors: int, expected: int
) -> None:
    """Up to the most that there may be."""
    monkeypatch.setattr(flag_values, "available_processors", lambda: processors)
    assert workers("auto") == expected


@pytest.mark.parametrize("key", ["k", "a key", "ключ", "a\u00a0b"])
def test_a_key(key: str) -> None:
    """Any UTF-8 that can stand in a header."""
    assert parse_key(key) == key


@pytest.mark.parametrize(
    "key", [" s3cr", "s3cr ", "s3cr\u00a0", "a\nb", "a\x00", "a\x7f", "a\x85b", "\udcff"]
)
def test_what_is_no_key(key: str) -> None:
    """It is not quoted: it may be one with a slip in it."""
    with pytest.raises(ValueError, match="the value is not shown") as raised:
        parse_key(key)
    assert key.strip() not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "key"), [(b"k", "k"), (b"k\n", "k"), (b"k\r\n", "k"), ("ключ\n".encode(), "ключ")]
)
def test_a_key_in_a_file(tmp_path: Path, content: bytes, key: str) -> None:
    """An editor's line feed is no part of it."""
    path = tmp_path / "key"
    path.write_bytes(content)
    assert read_secret_file(path) == key


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"k\n\n", "the value is not shown"),
        (b"\xff", "the value is not shown"),
        (b"x" * 65_537, "is over 65536 bytes"),
        (None, "cannot be read: No such file or directory"),
    ],
)
def test_a_file_without_a_key(tmp_path: Path, content: bytes | None, reason: str) -> None:
    """The path is named where the file is at fault, and never what is in it."""
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=reason):
        read_secret_file(path)


def test_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are made absolute, for a worker may be started elsewhere."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "f").write_text("")
    (tmp_path / "d").mkdir()
    assert file("f") == tmp_path / "f"
    assert folder("d") == folder_to_be("d") == tmp_path / "d"
    assert folder_to_be("new/one") == tmp_path / "new" / "one"


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        *((file, text) for text in ("none", "d", "", "a\x00b")),
        *((folder, text) for text in ("none", "f", "a\x00b")),
        *((folder_to_be, text) for text in ("f", "", "a\x00b")),
    ],
)
def test_paths_that_lead_elsewhere(
    parse: Callable[[str], Path], text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file is no folder, nor the other way round, and no path has a NUL."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "f").write_text("")
    (tmp_path / "d").mkdir()
    with pytest.raises(ValueError, match="must be a f"):
        parse(text)
