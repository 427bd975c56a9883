"""The running destinations as fixtures, and the tally of what landed in them.

To add one: a `Backend` in `install.py`, a module beside `loki.py` with `ROWS` and a context
manager that starts it, and here its rows in `DECLARED` and a fixture of five lines.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from . import install
from .ledger import Ledger
from .loki import ROWS as LOKI_ROWS
from .loki import Loki, LokiConfig, start_loki
from .rsyslog import ROWS as RSYSLOG_ROWS
from .rsyslog import Rsyslog, start_rsyslog

DECLARED: Final = (*LOKI_ROWS, *RSYSLOG_ROWS)
HERE: Final = Path(__file__).parent
LEDGER: Final = pytest.StashKey[Ledger]()
SELECTED: Final = pytest.StashKey[bool]()


# --- the fixtures --------------------------------------------------------------------------------


def installed(name: str) -> Path:
    """Return the folder of a backend; without it the test is skipped, and in CI it fails."""
    if folder := install.find(name):
        return folder
    reason = f"{name} {install.BACKENDS[name].version} is not installed: run `make backends`"
    if in_ci():
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def loki() -> Iterator[Loki]:
    """Run a plain Loki: one tenant, no TLS."""
    with start_loki(installed("loki")) as running:
        yield running


@pytest.fixture(scope="session")
def loki_secured() -> Iterator[Loki]:
    """Run a Loki that wants a tenant with each request, and a client certificate."""
    with start_loki(installed("loki"), LokiConfig(auth_enabled=True, mutual_tls=True)) as running:
        yield running


@pytest.fixture(scope="session")
def rsyslog() -> Iterator[Rsyslog]:
    """Run a rsyslog: TCP, TLS with and without client certificates, UDP."""
    with start_rsyslog(installed("rsyslog")) as running:
        yield running


@pytest.fixture(scope="session")
def landed(pytestconfig: pytest.Config) -> Ledger:
    """Return the tally: a test that has looked for its events records the outcome here."""
    return pytestconfig.stash[LEDGER]


# --- the marker and the tally --------------------------------------------------------------------


def in_ci() -> bool:
    """Say whether nothing may be skipped."""
    return bool(os.environ.get("CI"))


def pytest_configure(config: pytest.Config) -> None:
    """Open the tally."""
    config.stash[LEDGER] = Ledger.of(DECLARED)


@pytest.hookimpl(tryfirst=True)  # before `-m` picks by marker
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder; the hook is given those of the whole run."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker("backend")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI, fail a run of these tests that has left out a destination."""
    if _left_out(session.config) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print the tally, and what it lacks."""
    if not config.stash.get(SELECTED, False):
        return
    terminalreporter.section("events in real destinations")
    terminalreporter.line(config.stash[LEDGER].table())
    for destination in _left_out(config):
        terminalreporter.line(f"FAILED: no test has sent events to {destination}", red=True)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Note whether this run has any test of this folder left after all deselecting."""
    selected = any(HERE in item.path.parents for item in session.items)
    session.config.stash[SELECTED] = selected and not session.config.option.collectonly


def _left_out(config: pytest.Config) -> list[str]:
    chosen = in_ci() and config.stash.get(SELECTED, False)
    return config.stash[LEDGER].unchecked() if chosen else []
