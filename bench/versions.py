"""What a run stood on: versions, the machine, the commit."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from tests.backends import install

from .load import find_wrk

PACKAGES: Final = (
    *("uvloop", "uvicorn", "httptools", "falcon", "httpx", "grpcio", "aiokafka"),
    *("jsonschema", "jsonschema-rs", "msgspec", "orjson"),
)
BACKENDS: Final = ("loki", "prometheus", "collector", "kafka")
ROOT: Final = Path(__file__).parent.parent


def versions() -> list[tuple[str, str]]:
    """Return names and what they stand for, in the order in which they are shown."""
    return [
        ("date", f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"),
        ("commit", commit()),
        ("CPU", f"{cpu_model()}, {os.cpu_count()} cores"),
        ("kernel", platform.release().partition("-")[0]),
        ("Python", interpreter()),
        ("packages", ", ".join(_packages())),
        ("wrk", wrk_version()),
        *((name, _backend(name)) for name in BACKENDS),
    ]


def commit() -> str:
    """Return the commit, with a word on what is not in it."""
    return _first_line("git", "-C", str(ROOT), "describe", "--always", "--dirty=, with changes")


def cpu_model() -> str:
    """Return the processor's name."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def interpreter() -> str:
    """Return the version of Python, and how it was built: that is worth a quarter of all times."""
    flags = str(sysconfig.get_config_var("CONFIG_ARGS") or "")
    how = "with" if "--enable-optimizations" in flags else "without"
    built = f"built {how} --enable-optimizations"
    if sys.base_prefix == "/usr":
        built = "the system's"  # which does not tell how it was built
    return f"{platform.python_version()} ({built}; {platform.python_compiler()})"


def wrk_version() -> str:
    """Return the version of the `wrk` that is used."""
    wrk = find_wrk()
    if wrk is None:
        return "not installed"
    words, env = wrk
    return _first_line(*words, "-v", env=env).partition(" [")[0].removeprefix("wrk ")


def _packages() -> Iterator[str]:
    for name in PACKAGES:
        try:
            yield f"{name} {version(name)}"
        except PackageNotFoundError:
            continue  # Sonda may use one or another of these


def _backend(name: str) -> str:
    if name not in install.BACKENDS or (folder := install.find(name)) is None:
        return "not installed"
    return str(json.loads((folder / install.STAMP).read_text(encoding="utf-8"))["found"])


def _first_line(*words: str, env: dict[str, str] | None = None) -> str:
    run = subprocess.run(
        words, env={**os.environ, **(env or {})}, capture_output=True, text=True, check=False
    )
    return run.stdout.partition("\n")[0] or "unknown"
