"""The running destinations as fixtures, and the tally of what landed in them.

To add one: a `Backend` in `install.py`, a module beside `loki.py` with `ROWS` and a context
manager that starts it, and here the module in `MODULES` and a line below `running`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.serving import Serving, serving

from . import (
    browser,
    collector,
    influxdb,
    install,
    kafka,
    logrotate,
    loki,
    prometheus,
    pushgateway,
    rsyslog,
    stdout,
    victorialogs,
    victoriametrics,
)
from .ledger import Ledger
from .loki import LokiConfig

PAGE_PATIENCE_MS: Final = 60_000
MODULES: Final = (
    loki,
    victorialogs,
    rsyslog,
    influxdb,
    victoriametrics,
    prometheus,
    pushgateway,
    stdout,
    logrotate,
    collector,
    kafka,
)
DECLARED: Final = tuple(row for module in MODULES for row in module.ROWS)
HERE: Final = Path(__file__).parent
LEDGER: Final = pytest.StashKey[Ledger]()
SELECTED: Final = pytest.StashKey[bool]()
TALLY: Final = "events in real destinations"


# --- the fixtures --------------------------------------------------------------------------------


def installed(name: str) -> Path:
    """Return the folder of a backend; without it the test is skipped, and in CI it fails."""
    if folder := install.find(name):
        return folder
    reason = f"{name} {install.BACKENDS[name].version} is not installed: run `make backends`"
    if in_ci():
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def running(
    name: str,
    start: Callable[[Path], AbstractContextManager[object]],
    *,
    backend: str | None = None,
) -> Any:
    """Make a fixture that runs a destination, from the first test that needs it to the last test."""

    def run() -> Iterator[object]:
        with start(installed(backend or name)) as destination:
            yield destination

    return pytest.fixture(scope="session", name=name)(run)


SECURED: Final = LokiConfig(auth_enabled=True, mutual_tls=True)
STRICT: Final = LokiConfig(auth_enabled=True, tenants=loki.STRICT)

loki_ = running("loki", loki.start_loki)
loki_secured = running("loki_secured", partial(loki.start_loki, config=SECURED), backend="loki")
loki_strict = running("loki_strict", partial(loki.start_loki, config=STRICT), backend="loki")
victorialogs_ = running("victorialogs", victorialogs.start_victorialogs, backend="victoria")
rsyslog_ = running("rsyslog", rsyslog.start_rsyslog)
influxdb_ = running("influxdb", influxdb.start_influxdb)
victoriametrics_ = running(
    "victoriametrics", victoriametrics.start_victoriametrics, backend="victoria"
)
prometheus_ = running("prometheus", prometheus.start_prometheus)
prometheus_prefixed = running(
    "prometheus_prefixed",
    partial(prometheus.start_prometheus, prefix="/prom"),
    backend="prometheus",
)
pushgateway_ = running(
    "pushgateway", pushgateway.start_pushgateway, backend="prometheus-pushgateway"
)
kafka_ = running("kafka", kafka.start_kafka)
kafka_restarted = running(
    "kafka_restarted", partial(kafka.start_kafka, creates_topics=True), backend="kafka"
)

collector_ = running("collector", collector.start_collector)


@pytest.fixture
def collector_home(tmp_path: Path) -> collector.Home:
    """Return a collector of the test's own, which it may start and kill."""
    return collector.Home.of(installed("collector"), tmp_path)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Run a browser for one module: as long as it runs, no other test can run an event loop."""
    with browser.start_chromium(installed("chromium")) as running:
        yield running


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    """A page that fails the test if it asks anybody but its own server, or breaks its own rules."""
    page = chromium.new_page()
    page.set_default_timeout(PAGE_PATIENCE_MS)
    asked: list[str] = []
    broken: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: broken.append(str(error)))
    page.on(
        "console",
        lambda said: broken.append(said.text) if "Content Security" in said.text else None,
    )
    yield page
    own = page.url.partition("/docs")[0]
    page.close()
    assert [url for url in asked if not url.startswith(f"{own}/")] == []
    assert broken == []


@pytest.fixture(name="logrotate")
def _logrotate() -> logrotate.Logrotate:
    """Return the logrotate that is installed."""
    return logrotate.Logrotate(installed("logrotate"))


@pytest.fixture(scope="session")
def server() -> Iterator[Serving]:
    """Run a `sonda-server` with its defaults."""
    with serving() as running:
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
    config = session.config
    if hasattr(config, "workeroutput"):  # one of several processes: what is left out is seen by all
        if config.stash.get(SELECTED, False):
            config.workeroutput[TALLY] = config.stash[LEDGER].plain()
        return
    if _left_out(config) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Add what one of several processes has recorded."""
    if (rows := getattr(node, "workeroutput", {}).get(TALLY)) is not None:
        node.config.stash[SELECTED] = True
        node.config.stash[LEDGER].add(rows)


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
