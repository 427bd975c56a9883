"""Build the site of the documents: `python -m tools.docs_site [--serve]`.

The documents are written for the repository, where links lead to code as well. The site has the
documents alone: a copy of them is laid out below `build/docs`, with the README as its first page,
and what leads to other files is shown as their path.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Final

ROOT: Final = Path(__file__).parents[1]
CONFIG: Final = ROOT / "docs" / "zensical.toml"
BUILD: Final = ROOT / "build" / "docs"
# Documents beside `docs/`, and their places in the site.
BESIDE: Final[Mapping[str, str]] = {
    "README.md": "index.md",
    "SECURITY.md": "security.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
_LINK: Final = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")


def place_of(path: PurePosixPath) -> PurePosixPath | None:
    """Return where a file of the repository stands in the site, or None if it does not."""
    if beside := BESIDE.get(str(path)):
        return PurePosixPath(beside)
    if path.parts[:1] == ("docs",) and (path.suffix == ".md" or "assets" in path.parts):
        return path.relative_to("docs")
    return None


def for_site(text: str, page: PurePosixPath) -> str:
    """Return a document with its links as the site needs them; *page* is its path."""
    here = place_of(page)
    assert here is not None

    def replaced(found: re.Match[str]) -> str:
        mark, label, target = found.groups()
        if target.startswith(("http://", "https://", "mailto:", "#")):
            return found[0]
        name, _, anchor = target.partition("#")
        path = PurePosixPath(os.path.normpath(page.parent / name))
        place = place_of(path)
        if place is None:
            plain = label.strip("`")
            return f"`{path}`" if plain in (str(path), path.name) else f"{label} (`{path}`)"
        there = os.path.relpath(place, here.parent)
        return f"{mark}[{label}]({there}{'#' if anchor else ''}{anchor})"

    parts = re.split(r"(^ *```.*?^ *```)", text, flags=re.MULTILINE | re.DOTALL)
    return "".join(
        part if index % 2 else _LINK.sub(replaced, part) for index, part in enumerate(parts)
    )


def lay_out(folder: Path) -> None:
    """Copy configuration and documents to where the generator reads them."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copy(CONFIG, folder)
    pages = [*(ROOT / name for name in BESIDE), *(ROOT / "docs").rglob("*")]
    for source in pages:
        path = PurePosixPath(source.relative_to(ROOT))
        place = place_of(path)
        if place is None or not source.is_file():
            continue
        target = folder / "pages" / place
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.suffix == ".md":
            target.write_text(for_site(source.read_text(encoding="utf-8"), path), encoding="utf-8")
        else:
            shutil.copy(source, target)


def build(folder: Path) -> None:
    """Build the site below *folder*; what is wrong with a page ends it."""
    lay_out(folder)
    _zensical("build", "--clean", "--strict", folder=folder)


def _zensical(*words: str, folder: Path) -> None:
    command = [sys.executable, "-m", "zensical", *words, "--config-file", CONFIG.name]
    subprocess.run(command, cwd=folder, check=True)


def main() -> None:
    """Build the site, or serve it."""
    if sys.argv[1:] == ["--serve"]:
        lay_out(BUILD)
        _zensical("serve", folder=BUILD)
    else:
        build(BUILD)


if __name__ == "__main__":
    main()
