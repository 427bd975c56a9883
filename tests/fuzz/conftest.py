"""How much is fuzzed, with which seed, and what came of it, said at the end of the run."""

from __future__ import annotations

import os
import secrets
from typing import Any, Final

import pytest

REPORTS: Final = pytest.StashKey[list[str]]()
SEED: Final = pytest.StashKey[int]()
LINES: Final = "what has been fuzzed"


def pytest_configure(config: pytest.Config) -> None:
    """Choose the seed, for processes that are started from here, too; `FUZZ_SEED` repeats a run."""
    config.stash[SEED] = int(os.environ.setdefault("FUZZ_SEED", str(secrets.randbelow(2**31))))
    config.stash[REPORTS] = []


@pytest.fixture(scope="session")
def seed(pytestconfig: pytest.Config) -> int:
    """Return the run's seed."""
    return pytestconfig.stash[SEED]


@pytest.fixture(scope="session")
def report(pytestconfig: pytest.Config) -> list[str]:
    """Return the lines that are printed at the end; a test adds its own."""
    return pytestconfig.stash[REPORTS]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand the lines over where this is one of several processes."""
    config = session.config
    if hasattr(config, "workeroutput"):
        config.workeroutput[LINES] = config.stash[REPORTS]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Add what one of several processes has to say."""
    node.config.stash[REPORTS] += getattr(node, "workeroutput", {}).get(LINES, [])


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print what has been fuzzed."""
    if lines := config.stash[REPORTS]:
        terminalreporter.section(f"fuzzing, FUZZ_SEED={config.stash[SEED]}")
        for line in lines:
            terminalreporter.line(line)
