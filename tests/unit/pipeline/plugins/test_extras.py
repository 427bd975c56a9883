"""A dependency that is not installed is told from one that is broken."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sonda.pipeline.plugins.extras import need


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that can be imported."""
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.startswith("an_extra")]:
        monkeypatch.delitem(sys.modules, name)
    folder = tmp_path / "an_extra"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    return folder


def test_what_is_installed_is_imported(package: Path) -> None:
    """A module of a package, too."""
    (package / "inner.py").write_text("VALUE = 7")
    module = need("an_extra.inner")
    assert module is not None
    assert module.VALUE == 7


@pytest.mark.parametrize("name", ["an_extra_that_is_not_there", "not_there.inner"])
def test_what_is_not_installed_is_none(name: str) -> None:
    """Neither it nor the package that it would be in."""
    assert need(name) is None


def test_what_is_broken_raises(package: Path) -> None:
    """Something that it needs is missing: that is no choice of the user's."""
    (package / "broken.py").write_text("import a_module_that_nobody_has")
    with pytest.raises(ModuleNotFoundError, match="a_module_that_nobody_has"):
        need("an_extra.broken")
