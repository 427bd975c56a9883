"""The figures that other documents show, read from `RESULTS.md`: `python -m bench.summary`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent
RESULTS: Final = ROOT / "bench" / "RESULTS.md"
DOCUMENT: Final = ROOT / "docs" / "deployment" / "scaling.md"
MANY: Final = "64"  # clients
NOT_WHOLE: Final = "**Of a short or a partial run: a look, not a result.**"
SHOWN: Final = ("destination", "events/s", "÷ echo", "p50 ms", "CPU µs/event")
_BLOCK: Final = re.compile(r"(<!-- of bench/RESULTS\.md -->\n).*?(\n<!-- end -->)", re.DOTALL)


def summary(results: str) -> str:
    """Return the table of what each destination does with many clients at a time."""
    header, _, *rows = (
        [cell.strip() for cell in line.strip("| ").split(" | ")] for line in _first_table(results)
    )
    columns = [header.index(name) for name in SHOWN]
    lines = [SHOWN, ["-" * len(name) for name in SHOWN]]
    lines += [
        [row[column] for column in columns]
        for row in rows
        if len(row) > max(columns) and row[1] == MANY
    ]
    note = f"{NOT_WHOLE}\n\n" if NOT_WHOLE in results else ""
    return note + "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _first_table(text: str) -> list[str]:
    lines = text.splitlines()
    first = next(place for place, line in enumerate(lines) if line.startswith("| "))
    rest = lines[first:]
    return rest[: next((n for n, line in enumerate(rest) if not line.startswith("|")), len(rest))]


def with_summary(document: str, results: str) -> str:
    """Return a document with the table between its marks as *results* has it."""
    return _BLOCK.sub(lambda found: f"{found[1]}\n{summary(results)}\n{found[2]}", document)


def write() -> None:
    """Bring the document up to date."""
    document, results = (path.read_text(encoding="utf-8") for path in (DOCUMENT, RESULTS))
    DOCUMENT.write_text(with_summary(document, results), encoding="utf-8")


if __name__ == "__main__":
    write()
