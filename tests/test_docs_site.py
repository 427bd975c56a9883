"""The site of the documents: it is built without a warning, and needs nothing from elsewhere."""

from __future__ import annotations

import json
import re
from pathlib import Path, PurePosixPath
from typing import Any, Final

import pytest

from tools import docs_site

ASSET: Final = re.compile(r'<(?:script|img|link|iframe)\b[^>]*?(?:src|href)="?([^" >]+)')
WORDS: Final = ("queryable", "TRACEPARENT", "max_streams_per_push", "lookback")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs") / "build"
    docs_site.build(folder)
    return folder / "site"


def test_every_document_is_a_page(site: Path) -> None:
    """Those of `docs/`, and those that stand beside it."""
    documents = [*docs_site.ROOT.joinpath("docs").rglob("*.md")]
    places = {
        docs_site.place_of(PurePosixPath(path.relative_to(docs_site.ROOT))) for path in documents
    } | {PurePosixPath(place) for place in docs_site.BESIDE.values()}
    for place in places:
        assert place is not None
        html = "index.html" if place.name == "index.md" else f"{place.with_suffix('')}/index.html"
        assert (site / html).is_file(), place


def test_nothing_comes_from_elsewhere(site: Path) -> None:
    """Scripts, styles, fonts and pictures are in the site, so that it works without internet."""
    pages = list(site.rglob("*.html"))
    assert pages
    for page in pages:
        for asset in ASSET.findall(page.read_text(encoding="utf-8")):
            if asset.startswith(("http://localhost", "data:")):
                continue
            assert not asset.startswith(("http:", "https:", "//")), (page, asset)
            if not asset.startswith("/") and page.name != "404.html":
                assert (page.parent / asset.partition("?")[0].partition("#")[0]).exists(), asset
    for style in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(https?:)?//", style.read_text(encoding="utf-8"))


def test_links_lead_to_pages(site: Path) -> None:
    """Inside the site, those to headings included."""
    for page in site.rglob("*.html"):
        if page.name == "404.html":
            continue
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r'<a\b[^>]*?href="?([^" >]+)', text):
            if re.match("[a-z]+:", target):
                continue
            name, _, anchor = target.partition("#")
            found = (page.parent / name).resolve() if name else page
            found = found / "index.html" if found.is_dir() else found
            assert found.is_file(), (page, target)
            if anchor and anchor != "__skip":
                there = found.read_text(encoding="utf-8")
                assert re.search(rf'id="?{re.escape(anchor)}[" >]', there), (page, target)


def test_the_search_knows_every_page(site: Path) -> None:
    """Its index is a file of the site, which the browser searches by itself."""
    index: dict[str, Any] = json.loads((site / "search.json").read_text(encoding="utf-8"))
    text = json.dumps(index)
    assert all(word in text for word in WORDS)
