"""The sinks of the ledger, and the different ways in which its events name them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from .destination import Script, saying_yes
from .faults import (
    DELIVERED,
    HTTP_FAULTS,
    OTLP_FAULTS,
    REFUSED,
    TCP_FAULTS,
    Fault,
    fault,
    reading,
    refusing,
    striking,
    taking,
)
from .wires import Entries, Lines, Logs, Messages, Samples, Wire

RETRY: Final = {"max_attempts": 1, "initial_backoff": "1ms", "max_backoff": "2ms"}
YES_TO_LOKI: Final = (200, 204)
NO_TO_LOKI: Final = (260, *(status for status in range(201, 300) if status not in YES_TO_LOKI))


@dataclass(frozen=True)
class Way:
    """One way in which events name the same destination: equal ones may share a push."""

    options: Mapping[str, Any]
    wire: type[Wire]


@dataclass(frozen=True)
class NetworkSink:
    """A sink, what can happen to it, and how its destination behaves when nothing does."""

    type: str
    ways: tuple[Way, ...]
    faults: tuple[Fault, ...]
    healthy: Script
    path: str | None = None
    """Of the URL; without one the destination is an address."""
    option: str = "url"

    def target(self, address: str, *, secure: bool) -> dict[str, str]:
        """Name the destination as the sink's options do."""
        if self.path is None:
            return {"address": address}
        return {self.option: f"{'https' if secure else 'http'}://{address}{self.path}"}


NETWORK_SINKS: Final = (
    NetworkSink(
        "http_push",
        (
            Way({}, Lines),
            Way({"headers": {"X-Team": "a"}}, Lines),
            Way({"headers": {"X-Team": "b"}, "retry": RETRY}, Lines),
            Way({"headers": {"X-Team": "c"}}, Lines),
        ),
        (*HTTP_FAULTS, fault("other 2xx", striking(taking(*range(200, 300))), DELIVERED)),
        saying_yes,
        "/in",
    ),
    NetworkSink(
        "loki",
        (
            Way({}, Entries),
            Way({"batch_size": 7}, Entries),
            Way({"max_streams_per_push": 2, "retry": RETRY}, Entries),
        ),
        (
            *HTTP_FAULTS,
            fault("260 and other 2xx", striking(refusing(260, *NO_TO_LOKI)), REFUSED),
            fault("200 and 204", striking(taking(*YES_TO_LOKI)), DELIVERED),
        ),
        saying_yes,
        "",
    ),
    NetworkSink(
        "remote_write",
        (
            Way({}, Samples),
            Way({"batch_size": 7}, Samples),
            Way({"headers": {"X-Team": "a"}, "retry": RETRY}, Samples),
        ),
        (*HTTP_FAULTS, fault("other 2xx", striking(taking(*range(200, 300))), DELIVERED)),
        saying_yes,
        "/api/v1/write",
    ),
    NetworkSink(
        "otlp_http",
        (
            Way({}, Logs),
            Way({"batch_size": 7}, Logs),
            Way({"headers": {"X-Team": "a"}, "retry": RETRY}, Logs),
        ),
        OTLP_FAULTS,
        saying_yes,
        "",
        "endpoint",
    ),
    NetworkSink(
        "tcp",
        (
            Way({}, Lines),
            Way({"framing": "octet_counting"}, Messages),
            Way({"retry": RETRY}, Lines),
        ),
        TCP_FAULTS,
        reading,
    ),
)
