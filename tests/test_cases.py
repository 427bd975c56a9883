"""The contract's cases, over HTTP to a real server, each with the bytes that must arrive."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sonda.pipeline.schemas.registry import PLUGINS
from tests.support.destinations import (
    HttpDestination,
    SocketDestination,
    http_destination,
    tcp_destination,
    udp_destination,
)
from tests.support.extras import REQUIRED, is_usable
from tests.support.serving import Serving, serving
from tests.support.wire import unsnap, write_request

CASES = [
    json.loads(line)
    for line in (Path(__file__).parent / "cases.jsonl").read_text(encoding="utf-8").splitlines()
]
TIMES = {
    "<RFC3339MS>": r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z",
    "<NS>": "[0-9]{19}",
    "<MS>": "[0-9]{13}",
}


@dataclass(frozen=True)
class World:
    """A server, and a destination of each kind."""

    server: Serving
    http: HttpDestination
    tcp: SocketDestination
    udp: SocketDestination
    folder: Path

    def place(self, text: str) -> str:
        """Put this world's destinations into a case."""
        places = {
            "@HTTP@": self.http.url,
            "@TCP@": self.tcp.address,
            "@UDP@": self.udp.address,
            "@TMP@": str(self.folder),
        }
        for name, value in places.items():
            text = text.replace(name, value)
        return text


@pytest.fixture(scope="module")
def server() -> Iterator[Serving]:
    with serving("--file-root", "/") as running:
        yield running


@pytest.fixture
def world(server: Serving, tmp_path: Path) -> Iterator[World]:
    with ExitStack() as stack:
        yield World(
            server,
            stack.enter_context(http_destination()),
            stack.enter_context(tcp_destination()),
            stack.enter_context(udp_destination()),
            tmp_path,
        )


def can_run(case: dict[str, Any]) -> bool:
    """Say whether the plug-ins that a case names, if they are any of ours, can be used here.

    The cases with a gRPC destination run beside that sink's other tests, which have one.
    """
    if not isinstance(case["body"], dict):
        return True
    if "@GRPC@" in json.dumps(case["body"]):
        return False
    named = ((kind, case["body"][kind]["type"]) for kind in PLUGINS)
    return all(is_usable(kind, name) for kind, name in named if name in PLUGINS[kind])


def body_of(case: dict[str, Any]) -> bytes:
    if case["name"] == "bad-deep":  # described in words: 100,000 open brackets
        return b'{"signal_type":' + b"[" * 100_000
    body = case["body"]
    return (body if isinstance(body, str) else json.dumps(body)).encode()


def post(url: str, body: bytes) -> tuple[int, dict[str, Any], str]:
    request = urllib.request.Request(
        f"{url}/events", body, {"Content-Type": "application/json"}, method="POST"
    )
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.load(answer), answer.headers["content-type"]
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, json.load(refusal), refusal.headers["content-type"]


def as_pattern(expected: str) -> str:
    pattern = re.escape(expected)
    for name, time in TIMES.items():
        pattern = pattern.replace(re.escape(name), time)
    return pattern


@pytest.mark.parametrize(
    "case", [case for case in CASES if can_run(case)], ids=lambda case: case["name"]
)
def test_case(case: dict[str, Any], world: World) -> None:
    """The answer and the bytes are the contract's."""
    body = world.place(body_of(case).decode()).encode()
    status, answer, content_type = post(world.server.url, body)
    assert (status, content_type) == (case["status"], "application/json"), answer
    if status == 200:
        check_yes(answer, case, world)
    else:
        assert list(answer)[:2] == ["error", "detail"]
        assert set(answer) <= {
            "error",
            "detail",
            *(["warnings"] if case["status"] in (502, 504) else []),
        }
        assert answer["error"] == case["error"]
        assert re.search(case["detail_matches"], answer["detail"])


def check_yes(answer: dict[str, Any], case: dict[str, Any], world: World) -> None:
    assert list(answer)[:3] == ["sent", "signal_type", "latency_ms"]
    assert answer["sent"] is True
    assert answer["signal_type"] == case["body"]["signal_type"]
    for kind, expected in case.get("received", {}).items():
        match kind:
            case "tcp":
                arrived = world.tcp.received.wait_for_bytes(1).decode()
                assert re.fullmatch(as_pattern(expected), arrived)
            case "udp":
                (datagram,) = world.udp.received.wait_for()
                assert re.fullmatch(as_pattern(expected), datagram.decode())
            case "file":
                written = Path(world.place(expected[0])).read_text(encoding="utf-8")
                assert re.fullmatch(as_pattern(expected[1]), written)
            case "http":
                check_posted(expected, world)


def check_posted(expected: Any, world: World) -> None:
    posts = world.http.posts.items
    if expected == "three POSTs with the same body: 503, 503, 204":
        assert len(posts) == 3
        assert len({post.body for post in posts}) == 1
        return
    (post,) = posts
    if "series" in expected:
        assert post.headers.items() >= expected["headers"].items()
        series = [
            [list(map(list, labels)), [[value, str(time_ms)] for value, time_ms in samples]]
            for labels, samples in write_request(unsnap(post.body))
        ]
        assert re.fullmatch(as_pattern(json.dumps(expected["series"])), json.dumps(series))
        return
    assert post.path == expected["path"]
    assert post.headers["content-type"] == "application/json"
    (stream,) = json.loads(post.body)["streams"]
    ((time_ns, line),) = stream["values"]
    assert re.fullmatch(as_pattern(expected["line"]), line)
    assert re.fullmatch(TIMES["<NS>"], time_ns)


@pytest.fixture(scope="module")
def server_without_extras(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Run a server to which no module of an extra is there, installed or not."""
    folder = tmp_path_factory.mktemp("path")
    hidden = f"import sys\nsys.modules.update(dict.fromkeys({sorted(REQUIRED)!r}))\n"
    (folder / "sitecustomize.py").write_text(hidden, encoding="utf-8")  # `None`: it is not there
    with serving(environ={"PYTHONPATH": str(folder)}) as running:
        yield running


def hint(kind: str, name: str, extra: str) -> str:
    return (
        f"{kind} type '{name}' requires the '{extra}' feature: pip install 'sonda-events[{extra}]'"
    )


@pytest.mark.parametrize(
    ("encoder", "sink", "hints"),
    [
        (
            "remote_write",
            {"type": "remote_write", "url": "http://p"},
            [("encoder", "remote_write", "remote-write"), ("sink", "remote_write", "remote-write")],
        ),
        (
            "otlp",
            {"type": "otlp_grpc", "endpoint": "http://c:4317", "signal_type": "metrics"},
            [("encoder", "otlp", "otlp"), ("sink", "otlp_grpc", "otlp")],
        ),
        (
            "json_lines",
            {"type": "kafka", "brokers": "k:9092", "topic": "t"},
            [("sink", "kafka", "kafka")],
        ),
    ],
)
def test_hints_without_extras(
    server_without_extras: Serving,
    encoder: str,
    sink: dict[str, str],
    hints: list[tuple[str, str, str]],
) -> None:
    """Without an extra its types answer 422, and the detail is the contract's to the letter."""
    body = {
        "signal_type": "metrics",
        "labels": {},
        "metric": {"name": "m", "value": 1},
        "encoder": {"type": encoder},
        "sink": sink,
    }
    status, answer, _ = post(server_without_extras.url, json.dumps(body).encode())
    assert (status, answer["error"]) == (422, "unprocessable_entity")
    assert answer["detail"] == "; ".join(hint(*about) for about in hints)


def test_an_extra_that_is_broken_is_a_bug(tmp_path: Path) -> None:
    """Installed, but without what it needs itself: that is no hint, but a 500 with its traceback."""
    (tmp_path / "aiokafka.py").write_text("import what_it_needs\n")
    body = {
        "signal_type": "logs",
        "labels": {},
        "log": {"severity": "info", "message": "x"},
        "encoder": {"type": "json_lines"},
        "sink": {"type": "kafka", "brokers": "kafka:9092", "topic": "t"},
    }
    with serving(environ={"PYTHONPATH": str(tmp_path)}) as running:
        status, answer, _ = post(running.url, json.dumps(body).encode())
        running.wait_for_log("No module named 'what_it_needs'")
    assert status == 500
    assert answer == {
        "error": "internal_server_error",
        "detail": "runtime error: ModuleNotFoundError",
    }


def test_the_loopback_warning_is_answered_and_logged(world: World) -> None:
    """An advisory stands in the answer, and in the server's log."""
    case = next(case for case in CASES if case["name"] == "loki-jl")
    _, answer, _ = post(world.server.url, world.place(json.dumps(case["body"])).encode())
    (warning,) = answer["warnings"]
    assert warning.startswith(
        f"scenario entry 'events.logs' sink `loki` targets `{world.http.url}`"
    )
    world.server.wait_for_log(re.escape(warning))


def test_the_server_lives(server: Serving) -> None:
    """After all of it the server is up, and nothing but events was printed."""
    with urllib.request.urlopen(f"{server.url}/health") as answer:
        assert json.load(answer) == {"status": "ok"}
    assert server.printed == b""
    assert "Traceback" not in server.log
