"""What the README has its readers type, and typing it."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any, Final

README: Final = Path(__file__).parents[2] / "README.md"
SONDA: Final = "http://localhost:8080"
LOKI: Final = "http://localhost:3100"
PROMETHEUS: Final = "http://localhost:9090"


def snippet(name: str) -> str:
    """Return the command that stands below the comment *name*."""
    pattern = rf"<!-- {re.escape(name)} -->\n```bash\n(.*?)```"
    match = re.search(pattern, README.read_text(encoding="utf-8"), re.DOTALL)
    assert match, f"the README has no {name!r}"
    return match[1]


def typed(name: str, places: dict[str, str]) -> dict[str, Any]:
    """Run a command as it stands there, but for the ports, and return the JSON that it prints.

    *places* are the URLs that it must have, with what stands for each of them here.
    """
    command = snippet(name)
    for url, here in places.items():
        assert url in command
        command = command.replace(url, here.replace("127.0.0.1", "localhost"))
    run = subprocess.run(["bash", "-c", command], capture_output=True, check=True, timeout=60)
    document: dict[str, Any] = json.loads(run.stdout)
    return document
