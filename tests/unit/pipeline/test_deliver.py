"""The line as a whole: what it logs, and what it loads."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys

import pytest

from sonda.pipeline.deliver import Pipeline
from tests.support.bodies import LOG, changed, raw
from tests.support.destinations import udp_destination

UDP = "sink `udp` has no acknowledgement"


def logged(address: str, caplog: pytest.LogCaptureFixture, *, in_server: bool) -> list[str]:
    async def deliver() -> None:
        async with Pipeline(in_server=in_server) as pipeline:
            await pipeline.deliver(raw(changed(LOG, sink={"type": "udp", "address": address})))

    asyncio.run(deliver())
    assert {record.levelno for record in caplog.records} <= {logging.WARNING}
    return [record.getMessage() for record in caplog.records if record.name == "sonda"]


def test_a_server_logs_the_warnings(caplog: pytest.LogCaptureFixture) -> None:
    """Every advisory of a delivered event is also written to the server's log, in order."""
    with udp_destination() as destination:
        loopback, udp = logged(destination.address, caplog, in_server=True)
    assert f"targets `{destination.address}`" in loopback
    assert udp.startswith(UDP)


def test_a_server_logs_the_warnings_of_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    """An advisory may be the reason why an event was not delivered: it is logged all the same."""
    loopback, udp = logged("127.0.0.1:1", caplog, in_server=True)
    assert "targets `127.0.0.1:1`" in loopback
    assert udp.startswith(UDP)


def test_a_library_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """A script has the warnings in its receipt; nobody asked for a log."""
    assert logged("127.0.0.1:1", caplog, in_server=False) == []


def test_a_server_loads_the_built_in_plugins_and_no_extra() -> None:
    """The first event of a server waits for no import, and no extra is loaded for nothing."""
    script = """
import asyncio, sys
from sonda.pipeline.deliver import Pipeline
async def main():
    async with Pipeline(in_server=True):
        print(" ".join(sys.modules))
asyncio.run(main())
"""
    run = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    loaded = set(run.stdout.split())
    assert {"sonda.pipeline.sinks.loki", "sonda.pipeline.encoders.syslog", "httpx"} <= loaded
    assert not loaded & {"grpc", "aiokafka", "snappy", "google.protobuf"}
