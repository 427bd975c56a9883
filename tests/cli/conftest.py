"""What every test of the command line needs: an empty folder, and a destination."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.destinations import HttpDestination, http_destination


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder, with an empty folder for the user's settings."""
    for name in [name for name in os.environ if name.startswith("SONDA_")]:
        monkeypatch.delenv(name)
    own = tmp_path / "own"
    here = tmp_path / "here"
    for folder in (own, here):
        folder.mkdir()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(own))
    monkeypatch.chdir(here)
    return here


@pytest.fixture
def destination() -> Iterator[HttpDestination]:
    with http_destination() as found:
        yield found
