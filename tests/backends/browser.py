"""A real Chromium, without a window, driven by Playwright."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .install import CHROMIUM, program

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# It runs as root in CI, where Chromium's sandbox cannot; and it is to talk to nobody but the page's server.
_QUIET: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextmanager
def start_chromium(installed: Path) -> Iterator[Browser]:
    """Run the installed Chromium until the end of the `with` block."""
    from playwright.sync_api import sync_playwright

    (chromium, *_), libraries = program(installed, *CHROMIUM)
    fonts = {"FONTCONFIG_SYSROOT": str(installed / "root")}
    env: dict[str, str | float | bool] = {
        **os.environ,
        **libraries,
        **(fonts if _brings_fonts(installed) else {}),
    }
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=_QUIET, env=env)
        yield browser
        browser.close()


def _brings_fonts(installed: Path) -> bool:
    """Tell whether the machine had none of its own, so that they came along."""
    return (installed / "root/etc/fonts/fonts.conf").is_file()
