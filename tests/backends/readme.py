"""What the README and the guides have their readers type, and typing it."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = ("README.md", "docs/guides/annotation.md", "docs/guides/prometheus.md")
SONDA: Final = "http://localhost:8080"
LOKI: Final = "http://localhost:3100"
PROMETHEUS: Final = "http://localhost:9090"


def snippet(name: str) -> str:
    """Return the command that stands below the comment *name*."""
    pattern = rf"<!-- {re.escape(name)} -->\n```bash\n(.*?)```"
    pages = "".join((ROOT / page).read_text(encoding="utf-8") for page in PAGES)
    match = re.search(pattern, pages, re.DOTALL)
    assert match, f"the README and the guides have no {name!r}"
    return match[1]


def typed(name: str, places: dict[str, str]) -> dict[str, Any]:
    """Run a command as it stands there, but for the ports, and return the JSON that it prints.

    *places* are the URLs that it must have, with what stands for each of them here.
    """
    command = snippet(name)
    for url, here in places.items():
        assert url in command
        command = command.replace(url, here.replace("127.0.0.1", "localhost"))
    run = subprocess.run(["bash", "-c", command], capture_output=True, check=True, timeout=300)
    document: dict[str, Any] = json.loads(run.stdout)
    return document


def formatted_query() -> str:
    """Return the query by which the guide shows an annotation as text that people can read."""
    guide = (ROOT / "docs" / "guides" / "annotation.md").read_text(encoding="utf-8")
    match = re.search(r"```logql\n(.*?)\n```", guide, re.DOTALL)
    assert match
    return match[1]
