"""Files that are replayed, read where no server confines them."""

from __future__ import annotations

from sonda.pipeline.net.read_below import read_text
from sonda.pipeline.scenarios.csv_table import MOST_BYTES


def read_rows(path: str) -> str:
    """Return the text of a file of rows, its path from the current folder; see `read_text`."""
    return read_text(path, None, MOST_BYTES)
