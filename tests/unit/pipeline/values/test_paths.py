"""Paths are judged before the file system is asked."""

from __future__ import annotations

import pytest

from sonda.pipeline.values.paths import check_path, encodable


@pytest.mark.parametrize("path", ["a", "/a/b", "./~", "a~", "é" * 127, "/".join(["a" * 255] * 16)])
def test_what_can_be_a_path(path: str) -> None:
    """Whether it is there is another question."""
    assert check_path(path) == path


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("", "not empty"),
        ("a\0b", "without NUL"),
        ("~/a", "not expanded"),
        ("~", "not expanded"),
        ("a" * 256, "a name in a path has at most 255 bytes"),
        ("é" * 128, "a name in a path has at most 255 bytes"),
        ("a/" * 2049, "a path has at most 4096 bytes"),
        ("\ud800" * 86, "at most 255 bytes"),
    ],
)
def test_what_cannot(path: str, why: str) -> None:
    """Bytes are counted, not characters."""
    with pytest.raises(ValueError, match=why):
        check_path(path)


def test_a_locale_that_cannot_write_a_path_gets_its_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it can write stays as it is."""
    assert encodable("é") == "é"
    monkeypatch.setattr("os.fsencode", lambda path: path.encode("ascii", "surrogateescape"))
    monkeypatch.setattr("os.fsdecode", lambda path: path.decode("ascii", "surrogateescape"))
    assert encodable("plain") == "plain"
    assert encodable("é") == "\udcc3\udca9"
