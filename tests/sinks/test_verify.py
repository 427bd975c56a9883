"""`verify`: what a receipt says, and what cannot make it say more."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from returns.result import Failure, Success

from sonda.pipeline.deliver import Pipeline
from sonda.pipeline.model import Confirmed, Receipt
from sonda.pipeline.net import AccessPolicy
from sonda.pipeline.policy.destinations import Policy
from sonda.pipeline.problems import Forbidden, Refused
from tests.support.bodies import LOG, changed, raw
from tests.support.mock_http import MockHttp

LOKI = changed(LOG, sink={"type": "loki", "url": "http://loki"}, verify={"timeout": "2s"})


class Loki:
    """Keeps what is pushed, and answers queries by *found*: the entries of a push, or others."""

    def __init__(self, found: Callable[[list[Any]], list[Any]] = lambda streams: streams) -> None:
        self.streams: list[Any] = []
        self.queries: list[httpx.Request] = []
        self.push_status = 204
        self._found = found

    async def answer(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            self.streams = json.loads(request.content)["streams"]
            return httpx.Response(self.push_status)
        self.queries.append(request)
        return httpx.Response(200, json={"data": {"result": self._found(self.streams)}})


def deliver(loki: Loki, body: dict[str, Any], **how: Any) -> Any:
    """Deliver one event."""

    async def main() -> Any:
        async with Pipeline(**how) as pipeline:
            pipeline._network.http = MockHttp(loki.answer)
            return await pipeline.deliver(raw(body))

    return asyncio.run(main())


def test_an_event_that_is_found_is_queryable() -> None:
    """And the receipt says after how long."""
    receipt = deliver(Loki(), LOKI).unwrap()
    assert receipt.verified is True
    assert receipt.confirmed is Confirmed.QUERYABLE
    assert receipt.visible_us >= 0
    assert receipt.warnings == ()


def test_an_event_that_is_not_found_was_acknowledged_all_the_same() -> None:
    """A warning says that it was not seen, and for how long it was looked for."""
    body = changed(LOKI, verify={"timeout": "500ms"})
    receipt = deliver(Loki(lambda _: []), body).unwrap()
    assert receipt.verified is False
    assert receipt.confirmed is Confirmed.ACCEPTED
    assert receipt.warnings == (
        "the event was acknowledged, but not read back from http://loki within 0.5s",
    )


def test_another_line_at_its_time_is_not_the_event() -> None:
    """The warning quotes both."""

    def other(streams: list[Any]) -> list[Any]:
        stamp = streams[0]["values"][0][0]
        return [{"stream": streams[0]["stream"], "values": [[stamp, "another line"]]}]

    receipt = deliver(Loki(other), changed(LOKI, verify={"timeout": "500ms"})).unwrap()
    assert receipt.verified is False
    assert 'found "another line" at its time, expected "{' in receipt.warnings[0]


def test_a_query_longer_than_a_url_leaves_a_yes_a_yes() -> None:
    """Nothing is asked, and the warning says why."""
    loki = Loki()
    receipt = deliver(loki, changed(LOKI, labels={"a": "x" * 70_000})).unwrap()
    assert receipt.verified is False
    assert loki.queries == []
    why = "the query failed: the query would be longer than a URL may be"
    said = f"the event was acknowledged, but not read back from http://loki: {why}"
    assert receipt.warnings == (said,)


def test_nothing_is_asked_about_a_refused_event() -> None:
    """There is nothing to find."""
    loki = Loki()
    loki.push_status = 400
    assert isinstance(deliver(loki, LOKI).failure(), Refused)
    assert loki.queries == []


def test_nothing_is_asked_unless_the_body_asks() -> None:
    """An event without `verify` costs no query."""
    loki = Loki()
    body = {name: value for name, value in LOKI.items() if name != "verify"}
    receipt = deliver(loki, body).unwrap()
    assert receipt.verified is None
    assert loki.queries == []


def test_headers_stay_with_the_sinks_origin() -> None:
    """Another URL to ask gets none of the sink's credentials."""
    loki = Loki()
    sink = {"type": "loki", "url": "http://loki", "headers": {"Authorization": "Bearer token"}}
    deliver(loki, changed(LOKI, sink=sink)).unwrap()
    elsewhere = {"timeout": "2s", "url": "http://other"}
    deliver(loki, changed(LOKI, sink=sink, verify=elsewhere)).unwrap()
    own, other = loki.queries
    assert own.headers["Authorization"] == "Bearer token"
    assert "Authorization" not in other.headers
    assert other.url.host == "other"


def test_an_operators_rules_hold_for_the_url_to_ask(tmp_path: Path) -> None:
    """It is refused before anything is sent."""
    loki = Loki()
    body = changed(LOKI, verify={"url": "http://169.254.169.254"})
    outcome = deliver(
        loki, body, access_policy=AccessPolicy(tmp_path, tmp_path, Policy()), in_server=True
    )
    assert isinstance(outcome.failure(), Forbidden)
    assert loki.streams == []


@pytest.mark.parametrize("in_server", [True, False])
def test_a_shutdown_meanwhile_leaves_a_yes_a_yes(in_server: bool) -> None:
    """The server answers that the event was acknowledged; a script's cancellation is its own."""

    async def main() -> Receipt | None:
        async with Pipeline(in_server=in_server) as pipeline:
            loki = Loki(lambda _: [])
            pipeline._network.http = MockHttp(loki.answer)
            task = asyncio.create_task(pipeline.deliver(raw(LOKI)))
            while not loki.queries:  # noqa: ASYNC110  # a mock has no event for it
                await asyncio.sleep(0)
            task.cancel()
            try:
                outcome = await task
            except asyncio.CancelledError:
                return None
            assert isinstance(outcome, Success)
            receipt: Receipt = outcome.unwrap()
            return receipt

    receipt = asyncio.run(main())
    if not in_server:
        assert receipt is None
        return
    assert receipt is not None
    assert receipt.verified is False
    assert "cut off" in receipt.warnings[-1]


def test_a_shutdown_meanwhile_leaves_the_yes_of_each_of_a_group_a_yes() -> None:
    """As for one event alone: what is read back has been acknowledged."""

    async def main() -> list[Any]:
        async with Pipeline(in_server=True) as pipeline:
            loki = Loki(lambda _: [])
            pipeline._network.http = MockHttp(loki.answer)
            prepared = [pipeline.prepare(raw(changed(LOKI, log__message=m))) for m in "ab"]
            task = asyncio.create_task(pipeline.send_prepared(prepared))
            while not loki.queries:  # noqa: ASYNC110  # a mock has no event for it
                await asyncio.sleep(0)
            task.cancel()
            return await task

    receipts = [result.unwrap() for result in asyncio.run(main())]
    assert [receipt.verified for receipt in receipts] == [False, False]
    assert all("cut off" in receipt.warnings[-1] for receipt in receipts)


def test_events_of_a_group_are_read_back_each(tmp_path: Path) -> None:
    """Files are asked by their bytes, at the offset where each was written."""
    sink = {"type": "file", "path": str(tmp_path / "x.log")}
    bodies = [changed(LOG, sink=sink, verify={"timeout": "2s"}, log__message=m) for m in "abc"]

    async def main() -> list[Any]:
        async with Pipeline() as pipeline:
            return await pipeline.send_prepared([pipeline.prepare(raw(body)) for body in bodies])

    results = asyncio.run(main())
    assert [result.unwrap().verified for result in results] == [True] * 3


def _rename(path: Path) -> None:
    path.rename(path.with_suffix(".1"))


def _replace(path: Path) -> None:
    _rename(path)
    path.write_bytes(b"x" * 500)


def _truncate(path: Path) -> None:
    os.truncate(path, 0)


def _refill(path: Path) -> None:
    _truncate(path)
    path.write_bytes(b"x" * 500)


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def _link(path: Path) -> None:
    _rename(path)
    path.symlink_to(path.with_suffix(".1"))


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_rename, "the query failed: No such file or directory"),
        (_replace, 'at its offset, expected "{'),
        (_truncate, "not read back from"),
        (_refill, 'found "xxx'),
        (_cut, "at its offset, expected"),
        (_link, "the query failed: Too many levels of symbolic links"),
        (Path.unlink, "the query failed: No such file or directory"),
        (_folder, "the query failed: Is a directory"),
        (_pipe, "the query failed: Illegal seek"),
    ],
)
def test_a_file_that_is_rotated_meanwhile_is_not_it(
    tmp_path: Path, change: Callable[[Path], object], said: str
) -> None:
    """Renamed, truncated, replaced or gone: the bytes are not there, and the warning says what is."""
    path = tmp_path / "x.log"
    path.write_text("before\n")

    async def main() -> Any:
        async with Pipeline() as pipeline:
            body = changed(LOG, sink={"type": "file", "path": str(path)})
            receipt = (await pipeline.deliver(raw(body))).unwrap()
            event = pipeline.prepare(raw(changed(body, verify={"timeout": "500ms"}))).unwrap()
            change(path)
            return await pipeline._verified(event, Success(receipt), until_s=None)

    receipt = asyncio.run(main()).unwrap()
    assert receipt.verified is False
    assert receipt.confirmed is Confirmed.ACCEPTED
    assert said in receipt.warnings[-1]


def test_failures_are_values() -> None:
    """A destination whose queries break leaves the yes as it is."""

    class Broken(Loki):
        async def answer(self, request: httpx.Request) -> httpx.Response:
            if request.method == "GET":
                raise ConnectionResetError("torn")
            return await super().answer(request)

    receipt = deliver(Broken(), changed(LOKI, verify={"timeout": "500ms"})).unwrap()
    assert receipt.verified is False
    assert receipt.warnings[-1].endswith("the query failed: torn")
    assert not isinstance(receipt, Failure)
