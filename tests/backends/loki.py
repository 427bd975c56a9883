"""A real Loki, one process, with everything it stores in a temporary folder."""

from __future__ import annotations

import json
import signal
import ssl
import sys
import time
import urllib.parse
from argparse import ArgumentParser
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, TypeAlias

from tests.support.ports import free_ports

from .certificates import Certificates, make_certificates
from .install import find, say
from .process import NotReadyError, Process, poll, started, with_free_ports
from .web import fetch, succeeds

# In CI each of these must have been proved at least once.
ROWS: Final = ("loki", "loki tls+tenant", "loki refusals", "loki otlp_http")

Limits: TypeAlias = Mapping[str, object]  # as `limits_config` has them

STRICT: Final[Mapping[str, Limits]] = {  # tenants, each named after what it refuses
    "old": {"reject_old_samples": True, "reject_old_samples_max_age": "1h"},
    "new": {"creation_grace_period": "10m"},
    "long": {"max_line_size": "1KB"},
    "labels": {"max_label_names_per_series": 5},
    "rate": {"ingestion_rate_mb": 0.001, "ingestion_burst_size_mb": 0.001},
    "blocked": {"block_ingestion_until": "2100-01-01T00:00:00Z"},
}

READY_TIMEOUT_S: Final = 60.0
TENANTS: Final = "tenants.yaml"
HOUR_NS: Final = 3_600_000_000_000


@dataclass(frozen=True, slots=True)
class LokiConfig:
    """How a Loki differs from the plain one."""

    auth_enabled: bool = False  # every request must then name its tenant
    mutual_tls: bool = False
    limits: Limits = field(default_factory=dict)  # on top of ours
    tenants: Mapping[str, Limits] = field(default_factory=dict)  # theirs, on top of those
    port: int | None = None  # for people; a test takes any that is free


@dataclass(frozen=True, slots=True)
class LokiEntry:
    """One stored line; `metadata` belongs to the line, `labels` to its stream."""

    time_ns: int
    line: str
    labels: dict[str, str]
    metadata: dict[str, str]


@dataclass(frozen=True, slots=True)
class Loki:
    """A Loki that answers queries."""

    url: str
    config: LokiConfig
    certificates: Certificates | None
    process: Process
    _context: ssl.SSLContext | None

    def query_range(
        self,
        query: str,
        *,
        start_ns: int | None = None,
        end_ns: int | None = None,
        tenant: str | None = None,
        limit: int = 5000,
        timeout_s: float = 60.0,
    ) -> list[LokiEntry]:
        """Return the entries of `[start_ns, end_ns)`, by default now ± 1 h, oldest first."""
        now_ns = time.time_ns()
        options = {
            "query": query,
            "start": now_ns - HOUR_NS if start_ns is None else start_ns,
            "end": now_ns + HOUR_NS if end_ns is None else end_ns,
            "limit": limit,
            "direction": "forward",
        }
        # Without this flag the labels of a stream and the metadata of a line come back as one.
        flags = {"X-Loki-Response-Encoding-Flags": "categorize-labels"}
        path = f"/loki/api/v1/query_range?{urllib.parse.urlencode(options)}"
        _, body = self.request("GET", path, headers=flags, tenant=tenant, timeout_s=timeout_s)
        result = json.loads(body)["data"]
        assert result["resultType"] == "streams", f"{query} gives no log lines"
        entries = [entry for stream in result["result"] for entry in _entries(stream)]
        return sorted(entries, key=lambda entry: entry.time_ns)

    def wait_for(
        self,
        query: str,
        *,
        count: int = 1,
        start_ns: int | None = None,
        end_ns: int | None = None,
        tenant: str | None = None,
        timeout_s: float = 60.0,
    ) -> list[LokiEntry]:
        """Return what `query_range` finds once it is *count* or more; fails if it stays fewer."""

        def look() -> list[LokiEntry]:
            return self.query_range(query, start_ns=start_ns, end_ns=end_ns, tenant=tenant)

        return poll(look, count=count, timeout_s=timeout_s, process=self.process)

    def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        tenant: str | None = None,
        timeout_s: float = 60.0,
    ) -> tuple[int, bytes]:
        """Send a request and return status and body; raises `HTTPError` for 4xx and 5xx."""
        tenants = {"X-Scope-OrgID": tenant} if tenant is not None else {}
        return fetch(
            self.url + path,
            method=method,
            body=body,
            headers={**(headers or {}), **tenants},
            timeout_s=timeout_s,
            context=self._context,
        )


@contextmanager
def start_loki(installed: Path, config: LokiConfig = LokiConfig()) -> Iterator[Loki]:
    """Run a Loki until the end of the `with` block."""
    with ExitStack() as stack:
        yield with_free_ports(lambda: stack.enter_context(_start(installed, config)))


@contextmanager
def _start(installed: Path, config: LokiConfig) -> Iterator[Loki]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="sonda-loki-")))
        certificates = make_certificates(folder / "tls") if config.mutual_tls else None
        free_port, grpc_port = free_ports(2)
        http_port = config.port or free_port
        (folder / TENANTS).write_text(json.dumps({"overrides": config.tenants}), encoding="utf-8")
        settings = _settings(config, folder, certificates, http_port=http_port, grpc_port=grpc_port)
        # JSON is YAML, too, and needs no library.
        (folder / "loki.yaml").write_text(json.dumps(settings, indent=2), encoding="utf-8")
        command = (installed / "bin" / "loki", f"-config.file={folder / 'loki.yaml'}")
        process = stack.enter_context(started(command, folder=folder))
        context = certificates.client_context(with_certificate=True) if certificates else None
        scheme = "https" if certificates else "http"
        loki = Loki(f"{scheme}://127.0.0.1:{http_port}", config, certificates, process, context)
        # After /ready the first query may still hang for seconds.
        process.wait_until(
            lambda: succeeds(lambda: _ask(loki)),
            timeout_s=READY_TIMEOUT_S,
            what="it answers a query",
        )
        yield loki


def _ask(loki: Loki) -> None:
    tenant = "nobody" if loki.config.auth_enabled else None
    loki.request("GET", "/ready", timeout_s=10.0)
    loki.query_range('{ready="never"}', tenant=tenant, timeout_s=10.0)


def _entries(stream: dict[str, Any]) -> Iterator[LokiEntry]:
    for time_ns, line, *more in stream["values"]:
        metadata = more[0].get("structuredMetadata", {}) if more else {}
        yield LokiEntry(int(time_ns), line, stream["stream"], metadata)


def _settings(
    config: LokiConfig,
    folder: Path,
    certificates: Certificates | None,
    *,
    http_port: int,
    grpc_port: int,
) -> dict[str, object]:
    server: dict[str, object] = {
        "http_listen_address": "127.0.0.1",
        "http_listen_port": http_port,
        "grpc_listen_address": "127.0.0.1",
        "grpc_listen_port": grpc_port,
        "log_level": "warn",
    }
    if certificates:
        server["http_tls_config"] = {
            "cert_file": str(certificates.server_cert),
            "key_file": str(certificates.server_key),
            "client_auth_type": "RequireAndVerifyClientCert",
            "client_ca_file": str(certificates.ca_cert),
        }
    schema = {
        "from": "1970-01-01",
        "store": "tsdb",
        "object_store": "filesystem",
        "schema": "v13",
        "index": {"prefix": "index_", "period": "24h"},
    }
    return {
        "auth_enabled": config.auth_enabled,
        "analytics": {"reporting_enabled": False},  # it would call home
        "server": server,
        "common": {
            "instance_addr": "127.0.0.1",
            "path_prefix": str(folder / "state"),
            "replication_factor": 1,
            "ring": {"kvstore": {"store": "inmemory"}},
            "storage": {
                "filesystem": {
                    "chunks_directory": str(folder / "state" / "chunks"),
                    "rules_directory": str(folder / "state" / "rules"),
                }
            },
        },
        "schema_config": {"configs": [schema]},
        "ingester": {
            "lifecycler": {"min_ready_duration": "0s", "final_sleep": "0s"},
            # A test's events may have any time; by default, what is in memory only is not looked at
            # for events that are older than some hours.
            "query_store_max_look_back_period": "-1ns",
        },
        # With the defaults of ten seconds the first query waits until they are over.
        "frontend": {"scheduler_dns_lookup_period": "200ms"},
        "frontend_worker": {"dns_lookup_duration": "200ms"},
        "runtime_config": {"file": str(folder / TENANTS)},
        "limits_config": {
            "reject_old_samples": False,
            "creation_grace_period": "1000000h",
            "max_query_length": "0s",
            "split_queries_by_interval": "10000h",  # else a query over a year is 8,760 of them
            "ingestion_rate_mb": 1000,
            "ingestion_burst_size_mb": 1000,
            "per_stream_rate_limit": "1GB",
            "per_stream_rate_limit_burst": "1GB",
            "max_global_streams_per_user": 100000,
            "max_entries_limit_per_query": 100000,
            **config.limits,
        },
    }


# --- for people ----------------------------------------------------------------------------------


def main() -> int:
    """Run a plain Loki on a fixed port until it is told to end, by Ctrl-C or SIGTERM."""
    parser = ArgumentParser(prog="python -m tests.backends.loki", description=main.__doc__)
    parser.add_argument("--port", type=int, default=3100)
    port = parser.parse_args().port
    if (installed := find("loki")) is None:
        say("Loki is not installed: run `make loki`")
        return 1
    for number in (signal.SIGINT, signal.SIGTERM):  # a job in the background ignores the first
        signal.signal(number, signal.default_int_handler)
    try:
        with start_loki(installed, LokiConfig(port=port)) as loki:
            say(f"Loki answers on {loki.url} until Ctrl-C, and then forgets everything")
            code = loki.process.popen.wait()
            say(f"Loki ended with {code}; its log:\n{loki.process.log_tail()}")
            return 1
    except NotReadyError as exc:
        taken = "address already in use" in str(exc)
        say(f"port {port} is taken: name another by --port" if taken else f"not started: {exc}")
        return 1
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main())
