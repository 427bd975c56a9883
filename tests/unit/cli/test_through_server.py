"""What a server's answers mean for events, and when a request is repeated."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any, cast

import pytest

from sonda.cli import through_server
from sonda.cli.addressing import Addressed
from sonda.cli.outcomes import Exit
from sonda.cli.server_client import Answered, NoAnswer, ServerClient
from sonda.cli.through_server import Server, judge
from sonda.envelope import CODES

JSON, NDJSON = "application/json", "application/x-ndjson"
YES = {"sent": True, "signal_type": "logs", "latency_ms": 1}
LOST = NoAnswer("reset", was_sent=True, is_late=False)
LATE = NoAnswer("not within 120 s", was_sent=True, is_late=True)
UNSENT = NoAnswer("refused", was_sent=False, is_late=False)
URL = "http://there"


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for nothing between two tries."""
    monkeypatch.setattr(through_server, "FIRST_PAUSE_S", 0.0)
    monkeypatch.setattr(through_server, "_UNDER_WAY_PAUSE_S", 0.0)


def answer(status: int, document: object, media_type: str = JSON) -> Answered:
    return Answered(status, json.dumps(document).encode(), media_type)


class Client:
    """Gives one answer after the other, and keeps what was asked."""

    def __init__(self, *answers: Answered | NoAnswer) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[bytes, dict[str, str]]] = []

    async def post(self, body: bytes, headers: dict[str, str]) -> Answered:
        self.asked.append((body, headers))
        found = self.answers.pop(0)
        if isinstance(found, NoAnswer):
            raise found
        return found

    @property
    def keys(self) -> list[str | None]:
        return [headers.get("Idempotency-Key") for _, headers in self.asked]


def lines_of(client: Client, messages: Sequence[str], warned: list[str] | None = None) -> list[str]:
    """Send events, and return the line of each verdict."""
    warned = [] if warned is None else warned
    server = Server(cast("ServerClient", client), URL, warned.append)
    some = [Addressed({"m": one, "timestamp": "T"}, "there") for one in messages]
    return [outcome.line for outcome in asyncio.run(server.send_many(some))]


DELIVERED = f"delivered to there through {URL} in 1 ms"
UNKNOWN = f"unknown: no answer from the server {URL}"
FOREIGN = f"of {URL} is not one of Sonda's"


@pytest.mark.parametrize(
    ("status", "document", "verdict"),
    [
        (200, YES, Exit.DELIVERED),
        (200, {**YES, "verified": False}, Exit.UNSEEN),
        (201, YES, Exit.UNKNOWN),
        (200, {"sent": True}, Exit.UNKNOWN),
        (200, {"sent": "yes", "latency_ms": 1}, Exit.UNKNOWN),
        (200, None, Exit.UNKNOWN),
        (302, None, Exit.INVALID),
        (404, None, Exit.INVALID),
        (502, None, Exit.UNKNOWN),
        (502, {"error": "bad_gateway", "detail": "no"}, Exit.REJECTED),
        (504, {"error": "gateway_timeout", "detail": "?"}, Exit.UNKNOWN),
        (422, {"error": "unprocessable_entity", "detail": "no"}, Exit.INVALID),
        (503, {"error": "upstream_down", "detail": "no"}, Exit.UNKNOWN),
    ],
)
def test_what_an_answer_promises(status: int, document: Any, verdict: Exit) -> None:
    """Only what is Sonda's own to the letter is a delivery; a proxy's error may hide one."""
    assert judge(status, document, URL, "there").exit is verdict


def test_events_are_at_fault_only_by_their_own_statuses() -> None:
    """What is forbidden here may be allowed elsewhere; what is invalid stays so."""
    at_fault = [
        judge(status, {"error": CODES[status], "detail": "x"}, URL, "t").is_events_fault
        for status in (400, 413, 422, 403)
    ]
    assert at_fault == [True, True, True, False]


def test_each_line_is_one_events_verdict() -> None:
    """By its number, in any order; one that is missing or is no JSON says nothing."""
    body = b'{"line":2,"status":200,"sent":true,"latency_ms":1}\n\xffgarbage\n{"line":1}\n[]\n'
    found = lines_of(Client(Answered(207, body, NDJSON)), ["a", "b"])
    assert found == [f"unknown: the answer 0 {FOREIGN}", DELIVERED]


def test_too_many_events_are_halved() -> None:
    """Down to one, each request with a key of its own; nothing was sent by the one refused."""
    too_large = answer(413, {"error": "payload_too_large", "detail": "too large"})
    client = Client(too_large, answer(200, YES), too_large)
    assert lines_of(client, ["a", "b"]) == [DELIVERED, "invalid: too large"]
    assert [body.count(b'"m"') for body, _ in client.asked] == [2, 1, 1]
    assert len(set(client.keys)) == 3


def test_a_lost_answer_is_asked_for_again() -> None:
    """With the same key and bytes, as long as the server says that the first is under way."""
    client = Client(LOST, answer(409, {"error": "conflict", "detail": "x"}), answer(200, YES))
    assert lines_of(client, ["a"]) == [DELIVERED]
    assert len(set(client.keys)) == 1
    assert len({body for body, _ in client.asked}) == 1


def test_an_answer_lost_five_times() -> None:
    """Then nobody knows, though the last tries did not even reach the server."""
    client = Client(LOST, UNSENT, LOST, UNSENT, UNSENT)
    (line,) = lines_of(client, ["a"])
    assert line == f"{UNKNOWN}: reset; the event (timestamp T) may or may not have been delivered"
    assert client.answers == []


def test_a_time_out_is_not_repeated() -> None:
    """It has taken long enough already."""
    client = Client(LATE)
    assert lines_of(client, ["a"])[0].startswith(f"{UNKNOWN}: not within 120 s; ")


def test_nobody_there() -> None:
    """Nothing has left: each event is rejected, and nothing is tried again."""
    found = lines_of(Client(UNSENT), ["a", "b"])
    assert found == [f"rejected: cannot connect to the server {URL}: refused"] * 2


def test_a_server_that_keeps_no_keys() -> None:
    """It is asked without one, which is said once; then a lost answer is final."""
    detail = "the Idempotency-Key cannot be kept: no folder"
    unstorable = answer(503, {"error": "service_unavailable", "detail": detail})
    warned: list[str] = []
    client = Client(unstorable, LOST)
    assert lines_of(client, ["a"], warned)[0].startswith(UNKNOWN)
    (said,) = warned
    assert said.startswith("the server cannot keep an Idempotency-Key (no folder): sent without")
    assert [key is None for key in client.keys] == [False, True]


def test_a_lost_answer_is_never_sent_without_its_key() -> None:
    """The first request may have been worked: without the key the event could be there twice."""
    detail = "the Idempotency-Key cannot be kept: disk full"
    unstorable = answer(503, {"error": "service_unavailable", "detail": detail})
    client = Client(LOST, *[unstorable] * 4)
    assert lines_of(client, ["a"])[0].startswith(f"{UNKNOWN}: reset")
    assert None not in client.keys


@pytest.mark.parametrize("status", [500, 502, 504])
def test_an_error_without_an_outcome_is_a_proxys(status: int) -> None:
    """A receipt was asked for, so Sonda's own would have said what became of the event."""
    said = {"error": "bad_gateway", "detail": "upstream reset"}
    assert lines_of(Client(answer(status, said)), ["a"]) == [
        f"unknown: the answer {status} {FOREIGN}"
    ]
    own = {**said, "outcome": "rejected"}
    assert lines_of(Client(answer(502, own)), ["a"]) == ["rejected: upstream reset"]
