"""Typing commands of `sonda`, in this process or in one of its own."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from click.testing import CliRunner, Result

from sonda.cli.commands import sonda
from tests.support.bodies import LOG, changed
from tests.support.serving import PATIENCE_S

SPAN: Final = r"[0-9]+(\.[0-9])? ms"


def typed(*words: str, stdin: str | bytes | None = None) -> Result:
    """Type a command; a bug fails the test."""
    result = CliRunner(catch_exceptions=False).invoke(sonda, words, input=stdin)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


def process(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own."""
    command = [sys.executable, "-m", "sonda", *words]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE_S, check=False, **options
    )


def lines(text: str) -> list[str]:
    """Split output into lines, latencies left out."""
    return re.sub(SPAN, "N ms", text).splitlines()


def documents(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def written(path: Path, *events: Mapping[str, Any]) -> str:
    """Write events as JSON Lines, and give the name."""
    path.write_text("".join(f"{json.dumps(event)}\n" for event in events), encoding="utf-8")
    return path.name


def to_http(url: str, **changes: Any) -> dict[str, Any]:
    return changed(LOG, sink={"type": "http_push", "url": url}, **changes)
