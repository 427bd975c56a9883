"""The server that the events are posted to, the seed, and the table at the end."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest

from tests.support.faulty import make_certificates
from tests.support.serving import Serving, serving

from . import products, test_keys, test_keys_products, test_local_sinks, test_udp
from .brokers import KAFKA
from .ledger import IS_FULL, Ledger, Place, Row
from .play import Pki
from .rpc import OTLP_GRPC
from .sinks import NETWORK_SINKS

HERE: Final = Path(__file__).parent
SEED: Final = "SONDA_FAULT_SEED"
LEDGER: Final = pytest.StashKey[Ledger]()
SELECTED: Final = pytest.StashKey[bool]()
TABLE: Final = "faults"
DECLARED: Final[tuple[Place, ...]] = (
    *((sink.type, fault.name) for sink in NETWORK_SINKS for fault in sink.faults),
    *((KAFKA.type, fault.name) for fault in KAFKA.faults),
    *((OTLP_GRPC.type, fault.name) for fault in OTLP_GRPC.faults),
    *test_udp.OFFSETS,
    *test_keys.OFFSETS,
    *test_keys_products.OFFSETS,
    *test_local_sinks.OFFSETS,
    *products.OFFSETS,
)


@pytest.fixture(scope="session")
def ledger(pytestconfig: pytest.Config) -> Ledger:
    """Return the table: every test of a fault records its row here."""
    return pytestconfig.stash[LEDGER]


@pytest.fixture
def random(ledger: Ledger, request: pytest.FixtureRequest) -> Random:
    """Return this test's own dice, which fall the same way for the same seed."""
    return Random(f"{ledger.seed} {request.node.name}")  # noqa: S311  # no secret


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """Return certificates for the destinations."""
    return Pki(make_certificates(tmp_path_factory.mktemp("pki")))


@pytest.fixture(scope="session")
def server(pki: Pki) -> Iterator[Serving]:
    """Run a `sonda-server` that all faults happen to, one after the other."""
    flags = ("--request-timeout", "120", "--tls-root", str(pki.certificates.folder))
    sizes = ("--max-body-bytes", "16000000", "--max-inflight-bytes", "1000000000")
    with serving(*flags, *sizes) as running:
        yield running
        assert running.stop() == 0
        assert "Traceback" not in running.log


def pytest_configure(config: pytest.Config) -> None:
    """Open the ledger; processes that are started from here have the same seed."""
    config.stash[LEDGER] = Ledger(os.environ.setdefault(SEED, secrets.token_hex(4)))
    config.stash[LEDGER].declare(DECLARED)


def pytest_report_header(config: pytest.Config) -> str:
    """Say the seed before anything can go wrong."""
    return f"faults: {SEED}={config.stash[LEDGER].seed}"


def pytest_collection_finish(session: pytest.Session) -> None:
    """Note whether this run has any test of this folder left after all deselecting."""
    selected = any(HERE in item.path.parents for item in session.items)
    session.config.stash[SELECTED] = selected and not session.config.option.collectonly


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI, fail a long round in which a fault never fired."""
    config = session.config
    if hasattr(config, "workeroutput"):  # one of several processes: a gap is seen by all
        if config.stash.get(SELECTED, False):
            config.workeroutput[TABLE] = config.stash[LEDGER].plain()
        return
    if _gaps(config) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Add what one of several processes has recorded."""
    if (rows := getattr(node, "workeroutput", {}).get(TABLE)) is not None:
        node.config.stash[SELECTED] = True
        for place, columns in rows:
            node.config.stash[LEDGER].record(place, Row(*columns))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print the table, and what it lacks."""
    if not config.stash.get(SELECTED, False):
        return
    ledger = config.stash[LEDGER]
    terminalreporter.section(f"faults; {SEED}={ledger.seed} plays them again")
    terminalreporter.line(ledger.table())
    for gap in _gaps(config):
        terminalreporter.line(f"FAILED: this fault never fired: {gap}", red=True)


def _gaps(config: pytest.Config) -> list[str]:
    whole = IS_FULL and bool(os.environ.get("CI"))  # a short round leaves the real products out
    chosen = whole and config.stash.get(SELECTED, False)
    return config.stash[LEDGER].gaps() if chosen else []
