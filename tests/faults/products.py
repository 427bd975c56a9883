"""Real destinations that can be killed and started again, with what they had stored."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.backends import loki
from tests.backends.collector import Collector, Home
from tests.backends.install import program
from tests.backends.kafka import start_kafka
from tests.backends.loki import LokiConfig
from tests.backends.process import Process, started
from tests.backends.prometheus import Prometheus
from tests.backends.web import Web, succeeds
from tests.support.ports import free_ports

from .wires import START_NS, Entries, Lines, Logs, Samples, Wire

DAY_NS: Final = 86_400 * 10**9
READY_TIMEOUT_S: Final = 60.0


@dataclass(frozen=True)
class Product:
    """What a test needs of a real destination: how to break and mend it, and what is in it."""

    sink: Mapping[str, Any]
    kill: Callable[[], object]
    start: Callable[[], object]
    found: Callable[..., set[Hashable]]  # in a day from *start_ns*, of a product that asks for it


@dataclass(frozen=True)
class Kind:
    """A product, by the backend that it needs, and how events for it are written.

    *keeps_all* tells whether it has everything, after a kill, that it had acknowledged.
    """

    name: str
    backend: str
    sink: str
    wire: type[Wire]
    run: Callable[[Path, Path], Any]
    keeps_all: bool = True


@dataclass
class Revenant:
    """A server that is started again in the folder and on the port that it had."""

    launch: Callable[[], Process]
    ready: Callable[[], object]
    process: Process

    def start(self) -> None:
        """Start it, and wait until it serves."""
        self.process = self.launch()
        self.wait()

    def wait(self) -> None:
        """Return once it serves."""
        self.process.wait_until(
            lambda: succeeds(self.ready), timeout_s=READY_TIMEOUT_S, what="it is ready"
        )

    def kill(self) -> None:
        """End it without a warning."""
        self.process.popen.kill()
        self.process.popen.wait()


@contextmanager
def killable_loki(installed: Path, folder: Path) -> Iterator[Product]:
    """Run a Loki; what it has taken is in its write-ahead log."""
    http_port, grpc_port = free_ports(2)
    config = LokiConfig()
    settings = loki._settings(config, folder, None, http_port=http_port, grpc_port=grpc_port)
    (folder / loki.TENANTS).write_text("{}", encoding="utf-8")
    (folder / "loki.yaml").write_text(json.dumps(settings), encoding="utf-8")
    command = (installed / "bin" / "loki", f"-config.file={folder / 'loki.yaml'}")
    url = f"http://127.0.0.1:{http_port}"
    with ExitStack() as stack:

        def launch() -> Process:
            return stack.enter_context(started(command, folder=folder))

        first = launch()
        there = loki.Loki(url, config, None, first, None)
        revenant = Revenant(launch, lambda: loki._ask(there), first)
        revenant.wait()

        def found(start_ns: int = START_NS) -> set[Hashable]:
            end_ns = start_ns + DAY_NS
            entries = there.query_range(
                '{app=~".+"}', start_ns=start_ns, end_ns=end_ns, limit=100_000
            )
            return {(_own(entry.labels), str(entry.time_ns), entry.line) for entry in entries}

        yield Product({"type": "loki", "url": url}, revenant.kill, revenant.start, found)


def _own(labels: Mapping[str, str]) -> Hashable:
    """Leave out the label that Loki adds."""
    return frozenset((name, value) for name, value in labels.items() if name != "service_name")


@contextmanager
def killable_prometheus(installed: Path, folder: Path) -> Iterator[Product]:
    """Run a Prometheus; what it has taken is in its write-ahead log."""
    (port,) = free_ports(1)
    settings = folder / "prometheus.yml"
    settings.write_text("global: {}\n", encoding="utf-8")
    command, env = program(
        installed,
        "root/usr/bin/prometheus",
        f"--config.file={settings}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--web.enable-remote-write-receiver",
    )
    url = f"http://127.0.0.1:{port}"
    with ExitStack() as stack:

        def launch() -> Process:
            return stack.enter_context(started(command, folder=folder, env=env))

        first = launch()
        web = Web(url, first)
        revenant = Revenant(launch, lambda: web.get("/-/ready"), first)
        revenant.wait()

        def found(start_ns: int = START_NS) -> set[Hashable]:
            until_s = (start_ns + DAY_NS) / 1e9  # each play has ten seconds of its own
            return {
                (tuple(sorted(series.labels.items())), struct.pack("<d", value), time_ms)
                for series in Prometheus(web).stored("faults_total", until_s=until_s, hours=25)
                for time_ms, value in series.samples
            }

        sink = {"type": "remote_write", "url": f"{url}/api/v1/write"}
        yield Product(sink, revenant.kill, revenant.start, found)


@contextmanager
def killable_kafka(installed: Path, _folder: Path) -> Iterator[Product]:
    """Run a Kafka of one node, which is all of its in-sync replicas."""
    with start_kafka(installed) as kafka:
        topic = kafka.create_topic(partitions=3)

        def found() -> set[Hashable]:
            return {record.value for record in kafka.read(topic)}

        sink = {"type": "kafka", "brokers": kafka.addresses["plain"], "topic": topic}
        yield Product(sink, kafka.kill, kafka.start, found)


@contextmanager
def killable_collector(installed: Path, folder: Path) -> Iterator[Product]:
    """Run a collector whose exporter writes before the collector says yes.

    By default its file exporter answers first and writes after a moment: a kill loses what it had
    said yes to. With rotation it writes at once.
    """
    home = Home.of(installed, folder)
    config = home._config()
    config["exporters"]["file"] = {
        "path": str(folder / "stored"),
        "rotation": {"max_megabytes": 1000},
    }
    (folder / "config.yaml").write_text(json.dumps(config), encoding="utf-8")
    with ExitStack() as stack:
        running: list[Collector] = [stack.enter_context(home.running())]

        def kill() -> None:
            running[-1].process.popen.kill()
            running[-1].process.popen.wait()

        def found() -> set[Hashable]:
            return {
                (record.name, frozenset(record.attributes.items()), record.time_ns)
                for record in running[-1].found()
            }

        yield Product(
            {"type": "otlp_grpc", "endpoint": f"http://{home.grpc}", "signal_type": "logs"},
            kill,
            lambda: running.append(stack.enter_context(home.running())),
            found,
        )


KINDS: Final = (
    Kind("Loki", "loki", "loki", Entries, killable_loki, keeps_all=False),
    Kind("Prometheus", "prometheus", "remote_write", Samples, killable_prometheus),
    Kind("Kafka", "kafka", "kafka", Lines, killable_kafka),
    Kind("Collector", "collector", "otlp_grpc", Logs, killable_collector),
)
OFFSETS: Final = tuple((kind.sink, f"a real {kind.name} is killed") for kind in KINDS)
