"""Many events in one request: a line each, and a verdict of its own for each."""

from __future__ import annotations

import asyncio
import json
import socket
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from sonda.pipeline.deliver import Pipeline
from sonda.resources.idempotency import fingerprint
from sonda.server.app import assemble
from sonda.server.idempotency_store import IdempotencyStore
from sonda.server.settings import Settings
from tests.support.bodies import LOG, NO_LISTENER, changed
from tests.support.destinations import http_destination

NDJSON = {"Content-Type": "application/x-ndjson"}


def body(*events: dict[str, Any] | str) -> bytes:
    """Write a line for each event, or the text of a line."""
    lines = (event if isinstance(event, str) else json.dumps(event) for event in events)
    return "\n".join(lines).encode()


def post(
    raw: bytes,
    folder: Path,
    query: str = "",
    headers: dict[str, str] | None = None,
    **settings: Any,
) -> tuple[int, list[dict[str, Any]], httpx.Response]:
    """Post a body of lines; return the status, and the answer's lines."""

    async def main() -> httpx.Response:
        app = assemble(replace(Settings(file_root=folder), **settings))
        transport = httpx.ASGITransport(app, client=("127.0.0.1", 1))  # type: ignore[arg-type]
        await app.readiness.process_startup({}, {})
        async with (
            AsyncExitStack() as stack,
            httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
        ):
            stack.push_async_callback(app.readiness.process_shutdown, {}, {})
            return await client.post(
                f"/events{query}", content=raw, headers={**NDJSON, **(headers or {})}
            )

    response = asyncio.run(main())
    return response.status_code, [json.loads(line) for line in response.text.splitlines()], response


def to_file(message: str, name: str = "x.log") -> dict[str, Any]:
    """Write an event for a file."""
    return changed(LOG, sink={"type": "file", "path": name}, log__message=message)


def messages(path: Path) -> list[str]:
    """Return the messages of a file, in their order."""
    return [json.loads(line)["message"] for line in path.read_text().splitlines()]


def test_each_line_has_its_answer(tmp_path: Path) -> None:
    """All delivered: 200; the answers are what each would have had alone, in the order of the lines."""
    status, answers, response = post(body(to_file("a"), to_file("b"), to_file("c")), tmp_path)
    assert status == 200
    assert response.headers["Content-Type"] == "application/x-ndjson"
    assert [list(answer) for answer in answers] == [
        ["line", "status", "sent", "signal_type", "latency_ms"]
    ] * 3
    assert [(answer["line"], answer["status"]) for answer in answers] == [
        (1, 200),
        (2, 200),
        (3, 200),
    ]
    assert messages(tmp_path / "x.log") == ["a", "b", "c"]


def test_blank_lines_are_skipped_and_numbers_are_of_the_body(tmp_path: Path) -> None:
    """`line` is the physical line, from 1."""
    raw = b"\n" + body(to_file("a")) + b"\r\n \t\r\n" + body(to_file("b")) + b"\n\n"
    status, answers, _ = post(raw, tmp_path)
    assert status == 200
    assert [answer["line"] for answer in answers] == [2, 4]


def test_a_bad_line_fails_alone(tmp_path: Path) -> None:
    """The others are delivered; the request is 207."""
    wrong = changed(LOG, log__severity="loud")
    invalid = changed(LOG, labels={"a-b": "c"})
    status, answers, _ = post(body(to_file("a"), wrong, "{", invalid, to_file("b")), tmp_path)
    assert status == 207
    assert [answer["status"] for answer in answers] == [200, 400, 400, 422, 200]
    assert answers[1]["error"] == "bad_request"
    assert messages(tmp_path / "x.log") == ["a", "b"]


def test_a_line_that_is_too_long_fails_alone(tmp_path: Path) -> None:
    """As `POST /events` alone would refuse it."""
    status, answers, _ = post(
        body(to_file("a"), to_file("x" * 2000)), tmp_path, max_body_bytes=1000
    )
    assert status == 207
    assert [answer["status"] for answer in answers] == [200, 413]
    assert "--max-body-bytes" in answers[1]["detail"]


@pytest.mark.parametrize(
    ("raw", "settings", "status", "detail"),
    [
        (b"", {}, 400, "it holds no event"),
        (b"\n \r\n", {}, 400, "it holds no event"),
        (b"{}\n{}\n{}", {"max_batch_events": 2}, 413, "--max-batch-events"),
        (b"{}\n" * 100, {"max_batch_bytes": 200}, 413, "--max-batch-bytes"),
    ],
)
def test_what_is_wrong_with_the_whole_is_one_answer(
    tmp_path: Path, raw: bytes, settings: dict[str, Any], status: int, detail: str
) -> None:
    """And nothing is sent."""
    answered, [answer], response = post(raw, tmp_path, **settings)
    assert answered == status
    assert detail in answer["detail"]
    assert response.headers["Content-Type"] == "application/json"


def test_a_dry_run_previews_each_line(tmp_path: Path) -> None:
    """Nothing is sent."""
    status, answers, _ = post(body(to_file("a"), "{"), tmp_path, "?dry_run=true")
    assert status == 207
    assert answers[0]["preview"]["sink"] == "file"
    assert answers[1]["status"] == 400
    assert not (tmp_path / "x.log").exists()


def test_receipts_are_of_each_line(tmp_path: Path) -> None:
    """`receipt=true` adds to each line what it adds to one event's answer."""
    status, answers, _ = post(body(to_file("a"), "{"), tmp_path, "?receipt=true")
    assert status == 207
    assert answers[0]["receipt"]["confirmed"] == "accepted"
    assert answers[1]["outcome"] == "not_sent"
    assert answers[1]["resend"] == "safe"


@pytest.mark.parametrize("query", ["", "?dry_run=true"])
def test_no_line_has_a_name_twice(tmp_path: Path, query: str) -> None:
    """A line has its status already, where RFC 9457 would add it; the request's own fault has not."""
    headers = {"Accept": "application/problem+json"}
    _, _, response = post(body(to_file("a"), "no"), tmp_path, query, headers)
    failed = json.loads(response.text.splitlines()[1], object_pairs_hook=list)
    names = [name for name, _ in failed]
    assert names == ["line", "status", "error", "detail", "type", "title"]
    assert post(b"", tmp_path, query, headers)[1][0]["status"] == 400


def test_lines_for_one_loki_are_one_push(tmp_path: Path) -> None:
    """As one group; what is refused is halved until the guilty are alone."""
    with http_destination() as there:
        sink = {"type": "loki", "url": there.url}
        status, answers, _ = post(
            body(*(changed(LOG, sink=sink, log__message=f"m{n}") for n in range(200))), tmp_path
        )
        [posted] = there.posts.wait_for()
    assert status == 200
    assert len(answers) == 200
    assert sum(len(stream["values"]) for stream in json.loads(posted.body)["streams"]) == 200


def test_posts_of_one_webhook_go_one_after_the_other(tmp_path: Path) -> None:
    """Without `batch_size` one event is one POST, in the order of the lines."""
    with http_destination() as there:
        sink = {"type": "http_push", "url": there.url}
        events = [changed(LOG, sink=sink, log__message=f"m{n}") for n in range(5)]
        status, _, _ = post(body(*events), tmp_path)
        posts = there.posts.wait_for(5)
    assert status == 200
    assert [json.loads(posted.body)["message"] for posted in posts] == [f"m{n}" for n in range(5)]


def test_another_media_type_is_refused(tmp_path: Path) -> None:
    """The detail names both that are taken."""
    status, [answer], _ = post(b"{}", tmp_path, headers={"Content-Type": "text/plain"})
    assert status == 415
    assert "application/x-ndjson" in answer["detail"]


def test_a_replayed_line_is_said_in_the_header(tmp_path: Path) -> None:
    """A 207 under its key again: what was delivered is repeated, the rest is worked, the header says so."""
    mixed = body(to_file("once"), "{bad")
    state = tmp_path / "state"
    state.mkdir()
    answered = []
    for key in ("k", "k", "other"):
        status, lines, response = post(
            mixed, tmp_path, headers={"Idempotency-Key": key}, state_dir=state
        )
        answered.append((status, lines, response.headers.get("Idempotent-Replayed")))
    first, again, other = answered
    assert first[0] == again[0] == other[0] == 207
    assert again[1] == first[1]
    assert [header for *_, header in answered] == [None, "true", None]
    assert messages(tmp_path / "x.log") == ["once", "once"]


@pytest.mark.parametrize("one", [True, False])
def test_after_a_death_the_unknown_outcome_is_a_replay(tmp_path: Path, one: bool) -> None:
    """A server that died with the event under way: a 504 that says so, with the header; nothing is sent."""
    raw = body(to_file("perhaps"))
    headers = {"Content-Type": "application/json"} if one else NDJSON
    state = tmp_path / "state"
    state.mkdir()
    store = IdempotencyStore(state / "sonda.sqlite3", ttl_s=60.0, most_keys=100)
    try:
        asyncio.run(_die(store, fingerprint(raw, headers["Content-Type"], "")))
    finally:
        store.close()
    for _ in range(2):
        _, (answer,), response = post(
            raw, tmp_path, headers={**headers, "Idempotency-Key": "k"}, state_dir=state
        )
        assert answer.get("status", response.status_code) == 504
        assert "died" in answer["detail"]
        assert response.headers["Idempotent-Replayed"] == "true"
    assert not (tmp_path / "x.log").exists()


@pytest.mark.parametrize("one", [True, False])
def test_a_bug_is_answered_alike_under_its_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one: bool
) -> None:
    """The first is a 500, which is replayed: the event may have been sent."""
    raw = body(to_file("perhaps"))
    headers = {"Content-Type": "application/json"} if one else NDJSON
    state = tmp_path / "state"
    state.mkdir()

    async def fails(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    answered = []
    with monkeypatch.context() as patch:
        patch.setattr(Pipeline, "send_prepared", fails)
        for key in ("k", "k"):
            status, _, response = post(
                raw, tmp_path, headers={**headers, "Idempotency-Key": key}, state_dir=state
            )
            answered.append((status, response.content, response.headers["Content-Type"]))
            patch.undo()
    assert answered[0] == answered[1]
    assert answered[0][0] == 500
    assert response.headers["Idempotent-Replayed"] == "true"
    assert not (tmp_path / "x.log").exists()


def keyed(
    raw: bytes, folder: Path, key: str, query: str = "", **headers: str
) -> tuple[int, list[dict[str, Any]], str | None]:
    """Post with a key, to a server that keeps its keys in the folder; tell whether it is a replay."""
    state = folder / "state"
    state.mkdir(exist_ok=True)
    status, lines, response = post(
        raw, folder, query, {"Idempotency-Key": key, **headers}, state_dir=state
    )
    return status, lines, response.headers.get("Idempotent-Replayed")


def test_lines_under_a_key_follow_the_rules_of_one_event(tmp_path: Path) -> None:
    """What was refused as such is worked again; what a 5xx may have stored, and a yes, are not."""
    with http_destination() as there:
        sinks = [{"type": "http_push", "url": f"{there.url}/s/{n}"} for n in (204, 400, 503)]
        raw = body(*(changed(LOG, sink=sink) for sink in sinks))
        answered = [keyed(raw, tmp_path, "k") for _ in range(3)]
        posts = Counter(posted.path for posted in there.posts.wait_for(5))
    assert [status for status, *_ in answered] == [207] * 3
    assert [[line["status"] for line in lines] for _, lines, _ in answered] == [[200, 502, 502]] * 3
    assert [replayed for *_, replayed in answered] == [None, "true", "true"]
    assert posts == {"/s/204": 1, "/s/400": 3, "/s/503": 1}


@pytest.mark.parametrize(
    ("status", "again"), [(503, False), (400, True), (429, True), (302, True), (408, False)]
)
def test_a_refusal_is_worked_again_where_that_is_safe(
    tmp_path: Path, status: int, again: bool
) -> None:
    """A proxy may have said a 5xx or a 408 after the event was stored: that answer is replayed."""
    one = {"Content-Type": "application/json"}
    with http_destination() as there:
        raw = body(changed(LOG, sink={"type": "http_push", "url": f"{there.url}/s/{status}"}))
        first, second = (keyed(raw, tmp_path, "k", **one) for _ in range(2))
        assert len(there.posts.wait_for(1 + again)) == 1 + again
    assert first[0] == second[0] == 502
    assert [first[2], second[2]] == [None, None if again else "true"]


def test_the_same_request_is_the_same_media_type_and_query(tmp_path: Path) -> None:
    """Another one with the key is 422; quoted or not, it is one key; a dry run ignores it."""
    raw, one = body(to_file("once")), {"Content-Type": "application/json"}
    assert keyed(raw, tmp_path, '"k"')[::2] == (200, None)
    assert keyed(raw, tmp_path, "k")[::2] == (200, "true")
    assert keyed(raw, tmp_path, "k", **one)[0] == 422
    assert keyed(raw, tmp_path, "k", "?receipt=true")[0] == 422
    assert keyed(raw, tmp_path, "k", "?dry_run=true")[::2] == (200, None)
    assert messages(tmp_path / "x.log") == ["once"]


@pytest.mark.parametrize("media_type", [*NDJSON.values(), "application/json"])
def test_without_a_folder_keys_are_refused_and_nothing_else(
    tmp_path: Path, media_type: str
) -> None:
    """503 names the flag, and nothing is sent; a request without a key is worked as ever."""
    headers = {"Content-Type": media_type}
    status, [answer], response = post(
        body(to_file("never")), tmp_path, headers={**headers, "Idempotency-Key": "k"}
    )
    assert (status, answer["error"]) == (503, "service_unavailable")
    assert "--state-dir" in answer["detail"]
    assert response.headers["Retry-After"] == "1"
    assert post(body(to_file("sent")), tmp_path, headers=headers)[0] == 200
    assert messages(tmp_path / "x.log") == ["sent"]


@pytest.mark.parametrize("key", ["", '""', "a" * 256, "a\tb", '"k'])
def test_a_key_that_is_none(tmp_path: Path, key: str) -> None:
    """400, and nothing is sent."""
    status, [answer], replayed = keyed(body(to_file("never")), tmp_path, key)
    assert (status, answer["error"], replayed) == (400, "bad_request", None)
    assert "Idempotency-Key" in answer["detail"]
    assert not (tmp_path / "x.log").exists()


@pytest.mark.parametrize("limit", [{"max_batch_events": 2}, {"max_batch_bytes": 200}])
def test_nothing_is_sent_of_a_batch_that_is_too_large(
    tmp_path: Path, limit: dict[str, Any]
) -> None:
    """Not even its first lines."""
    status, [answer], _ = post(body(*map(to_file, "abc")), tmp_path, **limit)
    assert (status, answer["error"]) == (413, "payload_too_large")
    assert not (tmp_path / "x.log").exists()


@pytest.mark.parametrize("query", ["", "?receipt=true"])
def test_a_line_is_answered_as_alone(tmp_path: Path, query: str) -> None:
    """Each to the letter, but for what no two requests have in common."""
    stamped = to_file("a") | {"timestamp": "2026-11-23T08:00:00Z"}
    with http_destination() as there:
        refused = [
            changed(LOG, sink={"type": sink, "url": f"{there.url}/s/{status}"}) | stamp
            for sink in ("http_push", "loki")
            for status in (204, 400, 503)
            for stamp in ({}, {"timestamp": "2026-11-23T08:00:00Z"})
        ]
        events: list[dict[str, Any] | str] = [
            stamped,
            *refused,
            *("{", "[]"),
            changed(LOG, log__severity="WARN"),
            changed(LOG, labels={"a-b": "c"}),
            changed(LOG, sink={"type": "udp"}),
            changed(LOG, sink={"type": "tcp", "address": NO_LISTENER}),
            changed(LOG, sink={"type": "file", "path": "../out"}),
            changed(LOG, verify={}),
            to_file("b") | {"verify": {"timeout": "1s"}},
        ]
        _, lines, _ = post(body(*events), tmp_path, query)
        alone = [
            post(body(event), tmp_path, query, {"Content-Type": "application/json"})
            for event in events
        ]
    assert [line["status"] for line in lines] == [status for status, *_ in alone]
    for number, (line, (status, [answer], _)) in enumerate(zip(lines, alone, strict=True), 1):
        expected = {"line": number, "status": status, **answer}
        assert list(line) == list(expected)
        assert without_times(line) == without_times(expected)


def without_times(answer: dict[str, Any]) -> dict[str, Any]:
    """Return an answer without what is measured, or taken from the clock."""
    times = {"latency_ms", "visible_ms", "latency_us"}
    if "2026-11-23" not in str(answer.get("timestamp", "")):
        times = {*times, "timestamp"}
    kept = {name: value for name, value in answer.items() if name not in times}
    if "receipt" in kept:
        kept["receipt"] = without_times(kept["receipt"])
    return kept


def test_a_batch_is_one_request_in_flight(tmp_path: Path) -> None:
    """However many events it holds, and for one destination more than its share."""
    count = 64
    status, lines, _ = post(
        body(*(to_file(str(n)) for n in range(count))), tmp_path, max_inflight_requests=16
    )
    assert status == 200
    assert len(lines) == count
    status, lines, _ = post(body(*map(to_file, "ab")), tmp_path, max_inflight_requests=1)
    assert (status, len(lines)) == (200, 2)


@pytest.mark.parametrize("media_type", [*NDJSON.values(), "application/json"])
def test_what_was_read_back_is_said(tmp_path: Path, media_type: str) -> None:
    """Right after `latency_ms`, and how long it took."""
    event = to_file("a") | {"verify": {}}
    status, [answer], _ = post(body(event), tmp_path, headers={"Content-Type": media_type})
    names = ["sent", "signal_type", "latency_ms", "verified", "visible_ms"]
    of_line = ["line", "status"] if media_type in NDJSON.values() else []
    assert (status, list(answer)) == (200, [*of_line, *names])
    assert answer["verified"] is True
    assert isinstance(answer["visible_ms"], int)


def test_to_read_back_ends_with_the_requests_time(tmp_path: Path) -> None:
    """`timeout` is cut to what is left of `--request-timeout`; the event was acknowledged."""
    with http_destination() as there, socket.create_server(("127.0.0.1", 0)) as silent:
        elsewhere = {"timeout": "1h", "url": f"http://127.0.0.1:{silent.getsockname()[1]}"}
        event = changed(LOG, sink={"type": "loki", "url": there.url}, verify=elsewhere)
        status, [answer], _ = post(body(event), tmp_path, request_timeout_s=2.0)
    assert (status, answer["verified"]) == (200, False)
    assert "visible_ms" not in answer
    assert "not read back from" in answer["warnings"][-1]


async def _die(store: IdempotencyStore, found: bytes) -> None:
    assert await store.begin("", "k", found, 1) is None
    await store.abandon("", "k")
