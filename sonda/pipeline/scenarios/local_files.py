"""Files that are replayed, read where no server confines them."""

from __future__ import annotations

from typing import TextIO

from sonda.pipeline.net.read_below import open_text
from sonda.pipeline.scenarios.csv_table import MOST_BYTES


def open_rows(path: str) -> TextIO:
    """Open a file of rows, its path from the current folder; see `open_text`."""
    return open_text(path, None, MOST_BYTES)
