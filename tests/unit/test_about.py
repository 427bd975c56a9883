"""The version that is said."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Final

from sonda.about import version

PROJECT: Final = Path(__file__).parents[2] / "pyproject.toml"


def test_the_version_is_the_projects() -> None:
    """It is written twice, since to ask for it takes time at every start."""
    assert version() == tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["version"]
