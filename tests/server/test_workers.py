"""Several workers of one `sonda-server` under load, which write to the same places."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from tests.support.destinations import json_line, log_event
from tests.support.serving import Serving, serving

CLIENTS: Final = 24
EVENTS: Final = 25  # of each client
WORKERS: Final = ("--workers", "3")


def message(client: int, number: int) -> str:
    """Make a text of its own for each event: most are short, some longer than a pipe has room for."""
    length = 70_000 if number % 20 == 7 else (client * 37 + number * 101) % 5000
    return f"{client} {number} " + chr(ord("a") + client) * length


EXPECTED: Final = sorted(json_line(message(c, n)) for c in range(CLIENTS) for n in range(EVENTS))


def post_all(server: Serving, sink: Callable[[int], dict[str, str | bool]]) -> list[int]:
    """Post every client's events, each client on a connection of its own; gives the statuses."""
    together = threading.Barrier(CLIENTS)

    def post(client: int) -> Iterator[int]:
        with server.connect() as connection:
            together.wait()
            for number in range(EVENTS):
                event = json.dumps(log_event(sink(number), message(client, number))).encode()
                head = b"POST /events HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n"
                kind = b"Content-Type: application/json\r\n\r\n"
                connection.send(head % len(event) + kind + event)
                yield connection.reply().status

    with ThreadPoolExecutor(CLIENTS) as pool:
        return [
            s for statuses in pool.map(lambda c: list(post(c)), range(CLIENTS)) for s in statuses
        ]


def lines(written: bytes) -> list[bytes]:
    """Take what was written apart, in an order that does not depend on who was first."""
    return sorted(written.splitlines(keepends=True))


def test_workers_append_to_one_file(tmp_path: Path) -> None:
    """No line is torn or lost, whether it is to be durable or not, and by any spelling of its path."""
    (tmp_path / "a").mkdir()

    def sink(number: int) -> dict[str, str | bool]:
        path = "x.log" if number % 2 else "a/../x.log"
        return {"type": "file", "path": path, "fsync": number % 3 == 0}

    with serving(*WORKERS, "--file-root", str(tmp_path)) as server:
        assert set(post_all(server, sink)) == {200}
    assert lines((tmp_path / "x.log").read_bytes()) == EXPECTED


def test_workers_print_to_one_file() -> None:
    """No line is torn or lost where the standard output of all workers is one and the same file."""
    with serving(*WORKERS) as server:
        assert set(post_all(server, lambda _: {"type": "stdout"})) == {200}
        assert lines(server.printed) == EXPECTED


def test_workers_print_to_one_pipe() -> None:
    """No line is torn or lost where the standard output of all workers is one and the same pipe."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as pipe, ThreadPoolExecutor(1) as reader:
        printed = reader.submit(pipe.read)
        try:
            with serving(*WORKERS, pipe=writing) as server:
                assert set(post_all(server, lambda _: {"type": "stdout"})) == {200}
        finally:
            os.close(writing)  # the reader's end comes once the workers have closed theirs, too
        assert lines(printed.result()) == EXPECTED
