"""`Idempotency-Key` at a real server: killed, restarted, out of disk, with workers and with rivals."""

from __future__ import annotations

import json
import os
import resource
import signal
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from sonda.server.state import DATABASE
from tests.support.bodies import LOG, changed
from tests.support.ports import free_ports
from tests.support.serving import PATIENCE_S, Serving, serving

JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"


class Gate:
    """A destination that notes each body, and holds its answer back until it is opened."""

    def __init__(self) -> None:
        self.url = ""
        self.bodies: list[bytes] = []
        self.is_open = threading.Event()
        self._changed = threading.Condition()

    def take(self, body: bytes) -> None:
        with self._changed:
            self.bodies.append(body)
            self._changed.notify_all()
        self.is_open.wait(PATIENCE_S)

    def wait_for(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.bodies) >= count, PATIENCE_S)


@pytest.fixture
def gate() -> Iterator[Gate]:
    found = Gate()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            found.take(self.rfile.read(int(self.headers["Content-Length"])))
            try:
                self.send_response(204)
                self.end_headers()
            except OSError:
                pass  # who asked was killed

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its name there
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found.url = f"http://127.0.0.1:{server.server_port}"
    running = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    running.start()
    try:
        yield found
    finally:
        found.is_open.set()
        server.shutdown()
        running.join()
        server.server_close()


def event(sink: str, gate: Gate, message: str = "x") -> dict[str, Any]:
    return changed(LOG, sink={"type": sink, "url": gate.url}, log__message=message)


def ask(
    server: Serving,
    document: dict[str, Any],
    key: str = "k",
    *,
    api_key: str = "",
    media_type: str = JSON,
    query: str = "",
) -> httpx.Response:
    """Post an event with a key, on a connection of its own."""
    headers = {"Content-Type": media_type, "Idempotency-Key": key}
    if api_key:
        headers["Authorization"] = f"Bearer {api_key}"
    body = json.dumps(document).encode()
    return server.request("POST", f"/events{query}", content=body, headers=headers)


def is_replayed(answer: httpx.Response) -> bool:
    return bool(answer.headers.get("Idempotent-Replayed") == "true")


@contextmanager
def asking(server: Serving, *documents: dict[str, Any]) -> Iterator[list[Any]]:
    """Post events meanwhile; the futures of their answers."""
    with ThreadPoolExecutor(len(documents)) as pool:
        yield [pool.submit(ask, server, document) for document in documents]


def kill(server: Serving) -> None:
    """Kill every process of the server at once."""
    os.killpg(server.process.pid, signal.SIGKILL)
    server.wait()


@pytest.mark.long
@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("media_type", [JSON, NDJSON])
def test_a_kill_while_the_destination_has_the_event(
    gate: Gate, tmp_path: Path, workers: int, media_type: str
) -> None:
    """A webhook is never asked twice; Loki is, with the time of the first request."""
    flags = ("--state-dir", str(tmp_path / "state"), "--workers", str(workers))
    with serving(*flags) as server, ThreadPoolExecutor(2) as pool:
        for sink in ("http_push", "loki"):
            pool.submit(ask, server, event(sink, gate), sink, media_type=media_type)
        gate.wait_for(2)
        kill(server)
    gate.is_open.set()
    [pushed] = [body for body in gate.bodies if b"streams" in body]
    with serving(*flags) as server:
        unsure = ask(server, event("http_push", gate), "http_push", media_type=media_type)
        status = unsure.json().get("status", unsure.status_code)
        assert (status, is_replayed(unsure)) == (504, True)
        assert "died" in unsure.json()["detail"]
        assert len(gate.bodies) == 2
        again = ask(server, event("loki", gate), "loki", media_type=media_type)
        assert (again.status_code, is_replayed(again)) == (200, False)
        assert gate.bodies[2:] == [pushed]
        for sink, status in (("http_push", unsure.status_code), ("loki", 200)):
            repeated = ask(server, event(sink, gate), sink, media_type=media_type)
            assert (repeated.status_code, is_replayed(repeated)) == (status, True)
        assert len(gate.bodies) == 3
        assert server.stop() == 0


@pytest.mark.long
@pytest.mark.parametrize("sink", ["http_push", "loki"])
def test_a_kill_between_the_yes_and_the_record(gate: Gate, tmp_path: Path, sink: str) -> None:
    """The answer was never kept: a webhook is 504 with the header, Loki is asked again."""
    state = tmp_path / "state"
    flags = ("--state-dir", str(state))
    with serving(*flags) as server, asking(server, event(sink, gate)):
        gate.wait_for(1)
        locking = sqlite3.connect(state / DATABASE, isolation_level=None)
        locking.execute("BEGIN IMMEDIATE")  # the record waits for its turn
        gate.is_open.set()
        other = server.request("POST", "/events", json=event("http_push", gate, "other"))
        assert other.status_code == 200
        kill(server)
        locking.close()
    with serving(*flags) as server:
        answer = ask(server, event(sink, gate))
        assert (answer.status_code, is_replayed(answer)) == (
            (504, True) if sink == "http_push" else (200, False)
        )
        of_sink = [body for body in gate.bodies if b"other" not in body]
        assert len(set(of_sink)) == 1
        assert len(of_sink) == (1 if sink == "http_push" else 2)


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("workers", [1, 3])
def test_an_answer_outlives_the_server(
    gate: Gate, tmp_path: Path, workers: int, end: signal.Signals
) -> None:
    """To the byte, and for a webhook as for all; nothing is sent."""
    gate.is_open.set()
    flags = ("--state-dir", str(tmp_path / "state"), "--workers", str(workers))
    with serving(*flags) as server:
        first = ask(server, event("http_push", gate), query="?receipt=true")
        assert (first.status_code, is_replayed(first)) == (200, False)
        os.killpg(server.process.pid, end) if end is signal.SIGKILL else server.stop()
    with serving(*flags) as server:
        again = ask(server, event("http_push", gate), query="?receipt=true")
        assert (again.status_code, is_replayed(again), again.content) == (200, True, first.content)
        assert ask(server, event("http_push", gate)).status_code == 422  # another query
    assert len(gate.bodies) == 1


@pytest.mark.parametrize("workers", [1, 3])
def test_of_many_at_once_one_is_worked(gate: Gate, tmp_path: Path, workers: int) -> None:
    """The others are told to come back, and then get its answer."""
    one = event("http_push", gate)
    flags = ("--state-dir", str(tmp_path / "state"), "--workers", str(workers))
    with serving(*flags) as server, asking(server, *[one] * 20) as answers:
        gate.wait_for(1)
        other = ask(server, event("http_push", gate, "another"))
        assert other.status_code == 422
        assert "Idempotency-Key" in other.json()["detail"]
        refused = [ask(server, one) for _ in range(5)]
        assert {answer.status_code for answer in refused} == {409}
        assert all(answer.headers["Retry-After"] == "1" for answer in refused)
        assert refused[0].json()["error"] == "conflict"
        gate.is_open.set()
        statuses = [answer.result().status_code for answer in answers]
        assert min(statuses) == 200
        assert set(statuses) <= {200, 409}
        assert is_replayed(ask(server, one))
    assert len(gate.bodies) == 1


def test_a_key_is_its_callers(gate: Gate, tmp_path: Path) -> None:
    """Two callers with one key at once are two requests, and one's keys push out none of another's."""
    gate.is_open.set()
    config = tmp_path / "sonda.toml"
    config.write_text('[keys.ci]\nkey = "one"\n\n[keys.ops]\nkey = "two"\n')
    flags = ("--config", str(config), "--idempotency-keys", "2")
    with serving(*flags) as server:
        for name in ("one", "two"):
            answer = ask(server, event("http_push", gate, name), api_key=name)
            assert (answer.status_code, is_replayed(answer)) == (200, False)
        for key in ("b", "c", "d"):
            assert not is_replayed(ask(server, event("http_push", gate), key, api_key="two"))
        assert is_replayed(ask(server, event("http_push", gate, "one"), api_key="one"))
        assert is_replayed(ask(server, event("http_push", gate), "d", api_key="two"))
        oldest = ask(server, event("http_push", gate, "two"), api_key="two")
        assert (oldest.status_code, is_replayed(oldest)) == (200, False)
    assert len(gate.bodies) == 6


@contextmanager
def full_disk(server: Serving) -> Iterator[None]:
    """Let no file of the server's grow, nor be written at all."""
    _, most = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (0, most))
    try:
        yield
    finally:
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (most, most))


def test_a_full_disk_refuses_keys_and_nothing_else(gate: Gate, tmp_path: Path) -> None:
    """503 that names the flag, and nothing is sent; with room again the same request is the first."""
    gate.is_open.set()
    one = event("http_push", gate)
    with serving("--state-dir", str(tmp_path / "state")) as server:
        known = ask(server, one, "known")
        with full_disk(server):
            refused = ask(server, one)
            assert refused.status_code == 503
            assert refused.headers["Retry-After"] == "1"
            assert "(--state-dir names the folder)" in refused.json()["detail"]
            assert is_replayed(ask(server, one, "known"))
            assert server.request("POST", "/events", json=one).status_code == 200
        assert len(gate.bodies) == 2
        accepted = ask(server, one)
        assert (accepted.status_code, is_replayed(accepted)) == (200, False)
        assert known.status_code == 200
        assert server.stop() == 0


@pytest.mark.parametrize("sink", ["http_push", "loki"])
def test_a_disk_that_is_full_after_the_yes(gate: Gate, tmp_path: Path, sink: str) -> None:
    """The answer is given; the key counts as that of a server that died."""
    one = event(sink, gate)
    with serving("--state-dir", str(tmp_path / "state")) as server, asking(server, one) as asked:
        gate.wait_for(1)
        with full_disk(server):
            gate.is_open.set()
            assert asked[0].result().status_code == 200
        again = ask(server, one)
        assert (again.status_code, is_replayed(again)) == (
            (504, True) if sink == "http_push" else (200, False)
        )
    assert len(set(gate.bodies)) == 1
    assert len(gate.bodies) == (1 if sink == "http_push" else 2)


def test_a_shutdown_with_a_key_under_way_is_answered_and_kept(gate: Gate, tmp_path: Path) -> None:
    """What the grace period cuts off is 504, and 504 for the next server, too."""
    one = event("http_push", gate)
    flags = ("--state-dir", str(tmp_path / "state"), "--shutdown-timeout", "0.2")
    with serving(*flags) as server, asking(server, one) as asked:
        gate.wait_for(1)
        assert server.stop() == 0
        first = asked[0].result()
        assert first.status_code == 504
    gate.is_open.set()
    with serving(*flags) as server:
        again = ask(server, one)
        assert (again.status_code, is_replayed(again), again.content) == (504, True, first.content)
    assert len(gate.bodies) == 1


def test_a_second_server_on_a_folder_is_a_mistake(tmp_path: Path) -> None:
    """It ends with 2, and says why; the first one goes on."""
    flags = ("--state-dir", str(tmp_path))
    with serving(*flags) as server:
        with pytest.raises(AssertionError, match="another server is using it"), serving(*flags):
            pass
        assert server.request("GET", "/health").status_code == 200


def test_a_database_that_is_none_is_a_mistake(tmp_path: Path) -> None:
    """The server does not start on it."""
    (tmp_path / DATABASE).write_bytes(b"something else\n" * 1000)
    with (
        pytest.raises(AssertionError, match=r"--state-dir .*not a database"),
        serving("--state-dir", str(tmp_path)),
    ):
        pass


def test_what_was_never_worked_binds_nothing(gate: Gate, tmp_path: Path) -> None:
    """4xx leaves the key free for another body; a 502 that nothing was sent for is worked again."""
    (port,) = free_ports(1)
    away = changed(LOG, sink={"type": "http_push", "url": f"http://127.0.0.1:{port}"})
    gate.is_open.set()
    with serving("--state-dir", str(tmp_path / "state")) as server:
        assert ask(server, changed(LOG, labels={"a-b": "c"})).status_code == 422
        assert ask(server, {"signal_type": "logs"}).status_code == 400
        for _ in range(2):
            answer = ask(server, away)
            assert (answer.status_code, is_replayed(answer)) == (502, False)
        assert ask(server, event("http_push", gate)).status_code == 422
        assert ask(server, event("http_push", gate), query="?dry_run=true").status_code == 200
    assert gate.bodies == []


def test_what_the_operator_forbids_is_said_before_what_is_wrong_with_the_key(
    gate: Gate, tmp_path: Path
) -> None:
    """403 comes before the key's 422 and 409, for a destination as for a path."""
    elsewhere = changed(LOG, sink={"type": "tcp", "address": "169.254.169.254:80"})
    outside = changed(LOG, sink={"type": "file", "path": "/etc/x.log"})
    with serving("--file-root", str(tmp_path)) as server:
        with asking(server, event("http_push", gate)) as answers:
            gate.wait_for(1)
            assert [ask(server, one).status_code for one in (elsewhere, outside)] == [403, 403]
            gate.is_open.set()
        assert answers[0].result().status_code == 200
        assert [ask(server, one).status_code for one in (elsewhere, outside)] == [403, 403]
        assert ask(server, LOG).status_code == 422


def test_a_reload_while_a_key_is_under_way(gate: Gate, tmp_path: Path) -> None:
    """A caller whose secret was changed is still the same one: nothing is sent twice."""
    config = tmp_path / "sonda.toml"

    def configure(secret: str) -> None:
        config.write_text(f'[keys.ci]\nkey = "{secret}"\n')

    configure("one")
    document = event("http_push", gate)
    with serving("--config", str(config)) as server, ThreadPoolExecutor(1) as pool:
        first = pool.submit(ask, server, document, api_key="one")
        gate.wait_for(1)
        configure("two")
        server.process.send_signal(signal.SIGHUP)
        server.wait_for_log("read again: 0 destinations, 1 keys")
        assert ask(server, document, api_key="two").status_code == 409
        assert ask(server, document, api_key="one").status_code == 401
        gate.is_open.set()
        assert (first.result().status_code, is_replayed(first.result())) == (200, False)
        again = ask(server, document, api_key="two")
        assert (again.status_code, is_replayed(again)) == (200, True)
    assert len(gate.bodies) == 1
