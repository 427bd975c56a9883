"""Take the README's pictures from the real thing: `make pictures`.

They show the page `/docs` of a running server, a receipt as a notebook shows it, and the end of a
run of scenarios. Chromium is the one that `make backends` installs.
"""

from __future__ import annotations

import html
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import sonda
from tests.backends.browser import start_chromium
from tests.backends.install import find
from tests.support.serving import serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT: Final = Path(__file__).parents[1]
FOLDER: Final = ROOT / "docs" / "assets" / "pictures"
EVENT: Final[dict[str, Any]] = {
    "signal_type": "logs",
    "labels": {"event": "deploy_start", "env": "prod"},
    "log": {"severity": "info", "message": "Deploy started"},
    "encoder": {"type": "json_lines"},
    "sink": {"type": "file", "path": "deploys.log"},
}
RUN: Final = ("run", "examples/hello.yaml", "--duration", "3s", "--to", "file=room.prom")
STYLE: Final = "font-family:sans-serif;font-size:15px;padding:12px;width:680px;background:white"
TERMINAL: Final = (
    "font:14px/1.5 monospace;padding:16px;width:760px;background:#16181d;color:#e6e6e6;"
    "white-space:pre-wrap;margin:0"
)


def show_page(chromium: Browser) -> None:
    """Take the page on which an event is filled in and sent."""
    with serving() as server:
        page = chromium.new_page(viewport={"width": 1280, "height": 800})
        page.goto(f"{server.url}/docs")
        page.wait_for_load_state("networkidle")
        page.screenshot(path=FOLDER / "page.png")
        page.close()


def show(chromium: Browser, name: str, markup: str) -> None:
    """Take a picture of *markup* alone."""
    page = chromium.new_page(viewport={"width": 900, "height": 600})
    page.set_content(f'<body style="margin:0"><div id="it">{markup}</div></body>')
    page.locator("#it > *").screenshot(path=FOLDER / name)
    page.close()


def main() -> None:
    """Take all of them."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    chromium = find("chromium")
    if chromium is None:
        sys.exit("Chromium is not installed: run `make backends`")
    with tempfile.TemporaryDirectory() as folder, start_chromium(chromium) as browser:
        os.chdir(folder)
        receipt: Any = sonda.send(EVENT)
        code = html.escape("sonda.send(event)")
        card = f'<p><code style="color:#555">{code}</code></p>{receipt._repr_html_()}'
        show(browser, "receipt.png", f'<div style="{STYLE}">{card}</div>')
        command = [sys.executable, "-m", "sonda", RUN[0], str(ROOT / RUN[1]), *RUN[2:]]
        ran = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True
        )
        text = html.escape(f"$ sonda {' '.join(RUN)}\n{ran.stdout.strip()}")
        show(browser, "run.png", f'<pre style="{TERMINAL}">{text}</pre>')
        show_page(browser)


if __name__ == "__main__":
    main()
