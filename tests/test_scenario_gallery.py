"""The pictures in docs/scenarios.md are what the generators make."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from sonda.pipeline.schemas.registry import GENERATORS

ROOT = Path(__file__).parents[1]


def _gallery() -> ModuleType:
    spec = spec_from_file_location("scenario_gallery", ROOT / "tools" / "scenario_gallery.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_pictures_are_made_by_the_code() -> None:
    """Each picture is as `tools/scenario_gallery.py` draws it; no other is there."""
    drawn = dict(_gallery().pictures())
    assert {path.name: path.read_text(encoding="utf-8") for path in drawn} == {
        path.name: text for path, text in drawn.items()
    }
    assert {path.name for path in (ROOT / "docs/assets/scenarios").iterdir()} == {
        path.name for path in drawn
    }


def test_the_page_has_every_generator() -> None:
    """Each generator has its chapter, its example and its pictures."""
    page = (ROOT / "docs" / "scenarios.md").read_text(encoding="utf-8")
    for name in GENERATORS["generator"]:
        assert f"### `{name}`" in page
        assert f"assets/scenarios/{name}-dark.svg" in page
