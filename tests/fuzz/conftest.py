"""How much is fuzzed, with which seed, and what came of it, said at the end of the run."""

from __future__ import annotations

import os
import secrets
from typing import Final

import pytest

REPORTS: Final = pytest.StashKey[list[str]]()
SEED: Final = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    """Choose the seed; `FUZZ_SEED` repeats a run."""
    config.stash[SEED] = int(os.environ.get("FUZZ_SEED") or secrets.randbelow(2**31))
    config.stash[REPORTS] = []


@pytest.fixture(scope="session")
def seed(pytestconfig: pytest.Config) -> int:
    """Return the run's seed."""
    return pytestconfig.stash[SEED]


@pytest.fixture(scope="session")
def report(pytestconfig: pytest.Config) -> list[str]:
    """Return the lines that are printed at the end; a test adds its own."""
    return pytestconfig.stash[REPORTS]


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print what has been fuzzed."""
    if lines := config.stash[REPORTS]:
        terminalreporter.section(f"fuzzing, FUZZ_SEED={config.stash[SEED]}")
        for line in lines:
            terminalreporter.line(line)
