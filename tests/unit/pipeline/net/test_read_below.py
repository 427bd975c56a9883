"""Files are opened whole, or not at all, and never from outside the root."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sonda.pipeline.net import AccessPolicy
from sonda.pipeline.net.read_below import open_text


def _read(path: str, access_policy: AccessPolicy | None) -> str:
    with open_text(path, access_policy, 100) as opened:
        return opened.read()


def test_a_text_is_read(tmp_path: Path) -> None:
    """Without the mark that some editors put before it."""
    (tmp_path / "a").write_bytes("\ufeffé\r\n".encode())
    assert _read(str(tmp_path / "a"), None) == "é\r\n"
    confined = AccessPolicy(tmp_path, tmp_path)
    assert _read("a", confined) == "é\r\n"


def test_what_is_too_long(tmp_path: Path) -> None:
    """It is not read in part."""
    (tmp_path / "a").write_bytes(b"x" * 101)
    with pytest.raises(ValueError, match="it is longer than 100 bytes"):
        open_text(str(tmp_path / "a"), None, 100)


def test_what_is_no_file(tmp_path: Path) -> None:
    """A pipe would wait for ever, a folder has no text."""
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "missing", "."):
        with pytest.raises(OSError, match=r"no regular file|No such file|directory"):
            open_text(str(tmp_path / name), None, 100)


def test_nothing_outside_the_root(tmp_path: Path) -> None:
    """Neither by a path nor by a link; a link that stays inside is followed."""
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (tmp_path / "secret").write_text("s")
    (root / "sub" / "a").write_text("inside")
    (root / "out").symlink_to(tmp_path)
    (root / "in").symlink_to(root / "sub")
    confined = AccessPolicy(root, root)
    assert _read("in/a", confined) == "inside"
    for path in ("../secret", "out/secret", str(tmp_path / "secret")):
        with pytest.raises(PermissionError, match="is outside the file root"):
            open_text(path, confined, 100)
