"""Through a running server: one event a request, or many, each request with a key of its own.

The key makes it safe to repeat a request that nobody has answered: what the server has worked, it
answers again, and nothing is sent twice.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any, Final
from uuid import uuid4

import click
from msgspec.structs import replace

from sonda.cli.addressing import Addressed
from sonda.cli.outcomes import (
    EVENT_FAULTS,
    Outcome,
    answered,
    delivered_through,
    exit_status,
    placed_as_answered,
    previewed,
)
from sonda.cli.sending import Senders
from sonda.cli.server_client import Answered, Connection, NoAnswer, ServerClient
from sonda.envelope import CODES
from sonda.pipeline.text.compact_json import compact_text

TRIES: Final = 5
FIRST_PAUSE_S: Final = 0.1
_UNDER_WAY_PAUSE_S: Final = 1.0
_JSON: Final = "application/json"
_NDJSON: Final = "application/x-ndjson"
_KEYLESS: Final = (
    "the server cannot keep an Idempotency-Key ({}): sent without one, so nothing is repeated"
)


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A request without an answer; *was_sent* is whether the server may have worked it."""

    url: str
    reason: str
    was_sent: bool

    def outcome(self, addressed: Addressed) -> Outcome:
        """Return what that means for an event of the request."""
        if not self.was_sent:
            return answered(502, f"cannot connect to the server {self.url}: {self.reason}")
        return answered(
            504,
            f"no answer from the server {self.url}: {self.reason}; "
            f"the event (timestamp {addressed.event.get('timestamp')}) "
            "may or may not have been delivered",
        )


@asynccontextmanager
async def remote(
    connection: Connection,
    *,
    dry_run: bool = False,
    in_batches: bool = False,
    warn: Callable[[str], object] = partial(click.echo, err=True),  # noqa: B008  # it is immutable
) -> AsyncIterator[Senders]:
    """Deliver through a server, or ask it what it would send; *in_batches*, many in one request."""
    target = f"/events?{'dry_run' if dry_run else 'receipt'}=true"
    async with aclosing(ServerClient(connection, target)) as client:
        server = Server(client, connection.url, warn, has_keys=not dry_run)
        yield Senders(server.send, server.send_many if in_batches else None)


class Server:
    """A server, as one run of the command line knows it."""

    def __init__(
        self,
        client: ServerClient,
        url: str,
        warn: Callable[[str], object],
        *,
        has_keys: bool = True,
    ) -> None:
        self._client = client
        self._url = url
        self._warn = warn
        self._has_keys = has_keys
        self._asks_for_outcome = has_keys

    async def send(self, addressed: Addressed) -> Outcome:
        """Send one event; return what became of it."""
        answer = await self._post(_line(addressed), _JSON)
        if isinstance(answer, Unanswered):
            return answer.outcome(addressed)
        return self._judge(answer.status, answer.document(), addressed)

    async def send_many(self, some: Sequence[Addressed]) -> list[Outcome]:
        """Send events in one request, or in several where the server takes fewer at a time."""
        if len(some) == 1:
            return [await self.send(some[0])]
        answer = await self._post(b"\n".join(map(_line, some)), _NDJSON)
        if isinstance(answer, Unanswered):
            return [answer.outcome(one) for one in some]
        if answer.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:  # nothing was sent
            half = len(some) // 2
            return [*await self.send_many(some[:half]), *await self.send_many(some[half:])]
        if answer.media_type != _NDJSON:
            document = answer.document()
            return [self._judge(answer.status, document, one) for one in some]
        verdicts = _verdicts(answer.body)
        missing = (0, None)  # a status that tells nothing
        return [
            self._judge(*verdicts.get(number, missing), one)
            for number, one in enumerate(some, start=1)
        ]

    def _judge(self, status: int, document: Any, addressed: Addressed) -> Outcome:
        """Read an answer; where the outcome was asked for, an error without it is a proxy's."""
        if self._asks_for_outcome and status in _WITH_OUTCOME and _lacks_outcome(document):
            document = None
        outcome = judge(status, document, self._url, addressed.target)
        if not outcome.is_events_fault or not isinstance(
            issues := outcome.answer.get("issues"), list
        ):
            return outcome
        return placed_as_answered(outcome, str(outcome.answer["detail"]), issues, addressed.find)

    async def _post(self, body: bytes, media_type: str) -> Answered | Unanswered:
        """Post a body until it is answered, with one key; without keys only once."""
        key = uuid4().hex if self._has_keys else None
        lost: Unanswered | None = None
        pause_s = FIRST_PAUSE_S
        for left in reversed(range(TRIES if key else 1)):
            try:
                answer = await self._post_once(body, media_type, key)
            except NoAnswer as exc:
                if exc.was_sent:
                    lost = lost or Unanswered(self._url, str(exc), was_sent=True)
                    if exc.is_late:
                        break
                elif lost is None:
                    return Unanswered(self._url, str(exc), was_sent=False)
            else:
                if lost is None and key and (reason := _why_unstorable(answer)):
                    self._go_without_keys(reason)
                    return await self._post(body, media_type)
                if lost is None or answer.status not in _SAYS_NOTHING:
                    return answer
                pause_s = max(pause_s, _UNDER_WAY_PAUSE_S)
            if left:
                await asyncio.sleep(pause_s)
                pause_s *= 2
        return lost or Unanswered(self._url, "it was asked in vain", was_sent=False)

    async def _post_once(self, body: bytes, media_type: str, key: str | None) -> Answered:
        headers = {"Content-Type": media_type, **({"Idempotency-Key": key} if key else {})}
        return await self._client.post(body, headers)

    def _go_without_keys(self, reason: str) -> None:
        if self._has_keys:
            self._has_keys = False
            self._warn(_KEYLESS.format(reason))


_WITH_OUTCOME: Final = (
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
)
"""Statuses that a proxy uses as well, whose server may have delivered the event."""
_SAYS_NOTHING: Final = (HTTPStatus.CONFLICT, HTTPStatus.SERVICE_UNAVAILABLE)
"""After a lost answer: the first request is still under way, or nobody could look."""


def _lacks_outcome(document: Any) -> bool:
    return not (isinstance(document, dict) and isinstance(document.get("outcome"), str))


def _line(addressed: Addressed) -> bytes:
    return compact_text(addressed.event).encode(errors="backslashreplace")


def _why_unstorable(answer: Answered) -> str:
    """Return why a server cannot keep the key; empty where that is not what it says."""
    if answer.status != HTTPStatus.SERVICE_UNAVAILABLE:
        return ""
    match answer.document():
        case {"detail": str(detail)} if "Idempotency-Key" in detail:
            return detail.rpartition("cannot be kept: ")[2]
        case _:
            return ""


def _verdicts(body: bytes) -> dict[int, tuple[int, Any]]:
    """Return the status and the document of each line, as the event alone would have got them."""
    verdicts: dict[int, tuple[int, Any]] = {}
    for text in body.splitlines():
        try:
            document = json.loads(text)
        except ValueError:
            continue
        match document:
            case {"line": int(number), "status": int(status), **rest}:
                verdicts[number] = (status, rest)
    return verdicts


def judge(status: int, document: Any, url: str, target: str) -> Outcome:
    """Read a server's answer; what does not look like one of Sonda's promises nothing."""
    match document:
        case {"sent": True, "latency_ms": int()} if status == HTTPStatus.OK:
            return delivered_through(document, target, url)
        case {"sent": False, "preview": {**_preview}} if status == HTTPStatus.OK:
            return previewed(document, target)
        case {"error": str(code), "detail": str(detail)} if code == CODES.get(status):
            return _refused(status, document, detail)
        case _:
            foreign = f"the answer {status} of {url} is not one of Sonda's"
            refused = HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.INTERNAL_SERVER_ERROR
            return answered(404 if refused else 0, foreign)


def _refused(status: int, document: Mapping[str, Any], detail: str) -> Outcome:
    warnings = tuple(map(str, document.get("warnings", ())))
    verdict = exit_status(status)
    outcome = Outcome(verdict, document, f"{verdict.word}: {detail}", warnings)
    return replace(outcome, is_events_fault=status in EVENT_FAULTS)
