"""Events that go through a server: many in one request, and a lost answer is asked for again."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from sonda.cli import sending, through_server
from tests.support.bodies import LOG, NO_LISTENER, changed
from tests.support.command_line import documents, lines, typed, written
from tests.support.destinations import http_destination
from tests.support.serving import NO_TLS, serving

NDJSON = "application/x-ndjson"


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for nothing between two tries."""
    monkeypatch.setattr(through_server, "FIRST_PAUSE_S", 0.0)
    monkeypatch.setattr(through_server, "_UNDER_WAY_PAUSE_S", 0.0)


def to_file(message: str) -> dict[str, Any]:
    return changed(LOG, sink={"type": "file", "path": "x.log"}, log__message=message)


def messages(folder: Path) -> list[str]:
    text = (folder / "x.log").read_text()
    return [json.loads(line)["message"] for line in text.splitlines()]


class Between:
    """Stands between a client and a server, whose first answers *instead* replaces.

    `None` is a lost one: the client is hung up on.
    """

    def __init__(self, server_url: str, instead: Sequence[httpx.Response | None]) -> None:
        self.requests: list[tuple[str, str, bytes]] = []
        self.statuses: list[int] = []
        self._server_url = server_url
        self._instead = instead

    def ask(self, path: str, headers: dict[str, str], body: bytes) -> httpx.Response | None:
        """Return the server's answer, `None` if it is to be lost."""
        kept = {name: headers[name] for name in ("Content-Type", "Idempotency-Key")}
        self.requests.append((kept["Content-Type"], kept["Idempotency-Key"], body))
        answer = httpx.post(f"{self._server_url}{path}", content=body, headers=kept, verify=NO_TLS)
        self.statuses.append(answer.status_code)
        count = len(self.requests)
        return self._instead[count - 1] if count <= len(self._instead) else answer


@contextmanager
def between(server_url: str, *instead: httpx.Response | None) -> Iterator[tuple[str, Between]]:
    """Listen in front of a server."""
    there = Between(server_url, instead)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            answer = there.ask(self.path, dict(self.headers.items()), body)
            if answer is None:
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            self.send_response(answer.status_code)
            for name in ("Content-Type", "Content-Length"):
                self.send_header(name, answer.headers[name])
            self.end_headers()
            self.wfile.write(answer.content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its name there
            """Print nothing."""

    front = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    front.daemon_threads = True
    running = threading.Thread(target=front.serve_forever, kwargs={"poll_interval": 0.01})
    running.start()
    try:
        yield f"http://127.0.0.1:{front.server_port}", there
    finally:
        front.shutdown()
        running.join()
        front.server_close()


def test_many_events_are_one_request(home: Path) -> None:
    """Each has its verdict, in their order, as it would have had alone; the key is the request's."""
    bad = changed(LOG, sink={"type": "file", "path": "/elsewhere"})
    file = written(home / "events.jsonl", to_file("a"), bad, to_file("b"))
    with serving("--file-root", str(home)) as server, between(server.url) as (url, there):
        result = typed("emit", file, "--server", url, "--json")
    answers = documents(result.stdout)
    assert [answer.get("sent") for answer in answers] == [True, None, True]
    assert answers[0]["receipt"]["confirmed"] == "accepted"
    assert {"line", "status"}.isdisjoint(answers[0])
    assert answers[1]["error"] == "forbidden"
    assert result.exit_code == 2
    assert messages(home) == ["a", "b"]
    [(media_type, key, body)] = there.requests
    assert (media_type, len(body.splitlines())) == (NDJSON, 3)
    assert len(key) == 32


def test_a_mistake_that_the_server_finds_has_line_and_column(home: Path) -> None:
    """As one that the command line finds by itself."""
    (home / "events.yaml").write_text(
        "- signal_type: logs\n  labels: {a-b: c}\n  log:\n    severity: info\n    message: x\n"
        "  encoder: {type: json_lines}\n  sink: {type: tcp, address: h}\n"
    )
    with serving() as server:
        result = typed("emit", "events.yaml", "--server", server.url)
    assert result.exit_code == 2
    assert [line.partition("invalid: ")[0] for line in result.stderr.splitlines()] == [
        "events.yaml:2:12: ",
        "events.yaml:7:21: ",
    ]
    assert 'invalid: invalid label name "a-b"' in result.stderr


def test_a_request_has_a_bounded_number_of_events(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And of bytes; where the server takes fewer, they are halved."""
    monkeypatch.setattr(sending, "EVENTS_A_REQUEST", 4)
    file = written(home / "events.jsonl", *(to_file(str(n)) for n in range(9)))
    flags = ("--file-root", str(home), "--max-batch-events", "3")
    with serving(*flags) as server, between(server.url) as (url, there):
        result = typed("emit", file, "--server", url, "--quiet")
    assert result.exit_code == 0
    assert messages(home) == [str(n) for n in range(9)]
    sizes = [len(body.splitlines()) for _, _, body in there.requests]
    assert sizes == [4, 2, 2, 4, 2, 2, 1]
    assert there.statuses == [413, 200, 200, 413, 200, 200, 200]
    assert len({key for _, key, _ in there.requests}) == 7


def test_one_at_a_time_is_one_a_request(home: Path) -> None:
    """With `--concurrency` each is confirmed before the next one leaves, or as many are under way."""
    file = written(home / "events.jsonl", to_file("a"), to_file("b"))
    with serving("--file-root", str(home)) as server, between(server.url) as (url, there):
        result = typed("emit", file, "--server", url, "--concurrency", "1", "--quiet")
    assert result.exit_code == 0
    assert [media_type for media_type, _, _ in there.requests] == ["application/json"] * 2


@pytest.mark.parametrize(("count", "lost"), [(1, 4), (3, 1)])
def test_a_lost_answer_is_asked_for_again(home: Path, count: int, lost: int) -> None:
    """With the same key and the same bytes: every event is there once, and its verdict is known."""
    file = written(home / "events.jsonl", *(to_file(str(n)) for n in range(count)))
    with (
        serving("--file-root", str(home)) as server,
        between(server.url, *[None] * lost) as (url, there),
    ):
        result = typed("emit", file, "--server", url, "--json")
    assert (result.exit_code, result.stderr.count("unknown")) == (0, 0)
    assert all(answer["sent"] for answer in documents(result.stdout))
    assert messages(home) == [str(n) for n in range(count)]
    assert len(set(there.requests)) == 1
    assert there.statuses == [200] * (lost + 1)


def test_answers_that_are_always_lost_leave_it_unknown(home: Path) -> None:
    """After five tries nobody knows, and the exit status says so."""
    file = written(home / "events.jsonl", to_file("a"), to_file("b"))
    with (
        serving("--file-root", str(home)) as server,
        between(server.url, *[None] * 9) as (url, there),
    ):
        result = typed("emit", file, "--server", url)
    assert result.exit_code == 3
    assert "may or may not have been delivered" in result.output
    assert len(there.requests) == 5
    assert messages(home) == ["a", "b"]


def test_a_first_request_that_is_still_under_way_is_waited_for(home: Path) -> None:
    """Asked again meanwhile, the server says 409, which is no verdict on the event."""
    conflict = httpx.Response(409, json={"error": "conflict", "detail": "it is under way"})
    instead = (None, conflict, None)
    with serving("--file-root", str(home)) as server, between(server.url, *instead) as (url, there):
        result = typed("emit", "log", "x", "--to", "file=x.log", "--server", url)
    assert result.exit_code == 0
    assert messages(home) == ["x"]
    assert len(there.requests) == 4


def test_a_server_without_a_folder_is_asked_without_a_key(home: Path) -> None:
    """That is said once, whatever the number of requests, and nothing is repeated."""
    seen: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            key = self.headers["Idempotency-Key"]
            seen.append(key)
            document: dict[str, Any] = {"sent": True, "signal_type": "logs", "latency_ms": 1}
            if key is not None:
                detail = (
                    "the Idempotency-Key cannot be kept: no folder (--state-dir names the folder)"
                )
                document = {"error": "service_unavailable", "detail": detail}
            body = json.dumps(document).encode()
            self.send_response(200 if key is None else 503)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its name there
            """Print nothing."""

    file = written(home / "events.jsonl", *(to_file(str(n)) for n in range(3)))
    front = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    front.daemon_threads = True
    running = threading.Thread(target=front.serve_forever, kwargs={"poll_interval": 0.01})
    running.start()
    try:
        url = f"http://127.0.0.1:{front.server_port}"
        result = typed("emit", file, "--server", url, "--concurrency", "1")
    finally:
        front.shutdown()
        running.join()
        front.server_close()
    assert result.exit_code == 0
    assert seen[0] is not None
    assert seen[1:] == [None] * 3
    [said, *_] = result.stderr.splitlines()
    assert said.startswith("the server cannot keep an Idempotency-Key (no folder")
    assert result.stderr.count("Idempotency-Key") == 1


def test_a_dry_run_needs_no_key(home: Path) -> None:
    """Every line is previewed, and nothing is sent."""
    file = written(home / "events.jsonl", to_file("a"), to_file("b"))
    with serving("--file-root", str(home)) as server:
        result = typed("emit", file, "--server", server.url, "--dry-run")
    assert result.exit_code == 0
    assert [line.partition(" would")[0] for line in lines(result.stdout) if "would" in line] == [
        "events.jsonl:1: not sent: file x.log",
        "events.jsonl:2: not sent: file x.log",
    ]
    assert not (home / "x.log").exists()


def test_many_that_nobody_has_seen_in_time_end_with_4(home: Path) -> None:
    """`--verify` through a server: each line has its own verdict."""
    with http_destination() as there:  # it acknowledges, and knows no queries
        sink = {"type": "loki", "url": there.url}
        events = [changed(LOG, sink=sink, log__message=m) for m in "ab"]
        file = written(home / "events.jsonl", *events)
        with serving("--file-root", str(home)) as server:
            result = typed("emit", file, "--server", server.url, "--verify", "100ms", "--json")
    assert result.exit_code == 4
    assert [answer["verified"] for answer in documents(result.stdout)] == [False, False]


@pytest.mark.parametrize("through", [True, False])
def test_another_address_is_asked(home: Path, through: bool) -> None:
    """`--verify-url` takes the place of the sink's own, here and at a server."""
    asked = f"http://{NO_LISTENER}/prefix"
    with http_destination() as there, serving("--file-root", str(home)) as server:
        words = ["--server", server.url] if through else []
        result = typed(
            *("emit", "log", "x", "-l", "a=b", "--to", f"loki={there.url}"),
            *("--verify", "100ms", "--verify-url", asked, "--json", *words),
        )
    assert result.exit_code == 4
    (answer,) = documents(result.stdout)
    assert answer["verified"] is False
    assert f"not read back from {asked}" in answer["warnings"][-1]


@pytest.mark.parametrize("status", [500, 502, 503, 504])
@pytest.mark.parametrize("count", [1, 2])
def test_a_proxys_json_leaves_it_unknown(home: Path, count: int, status: int) -> None:
    """It may look like Sonda's, but what became of the event is not in it."""
    written(home / "events.jsonl", *(to_file(str(n)) for n in range(count)))
    said = httpx.Response(status, json={"error": "bad_gateway", "detail": "upstream reset"})
    with serving() as server, between(server.url, said) as (url, _):
        result = typed("emit", "events.jsonl", "--server", url)
    assert result.exit_code == 3
    assert f"the answer {status} of {url}" in result.stdout + result.stderr
