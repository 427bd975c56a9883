"""Many events in one request: a line of JSON each, answered by a line each.

Spec: https://github.com/ndjson/ndjson-spec
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Final, NamedTuple

from returns.result import Failure, Result, Success

from sonda.answers import Answer, Form, delivered, failed, previewed, resend_is_safe
from sonda.envelope import compact
from sonda.pipeline.delivery import Delivery
from sonda.pipeline.interruption import outcomes_of_group
from sonda.pipeline.model import EncodedEvent, Receipt
from sonda.pipeline.policy.callers import Caller
from sonda.pipeline.problems import NotJson, OutcomeUnknown, Problem
from sonda.pipeline.schemas.registry import PLUGINS
from sonda.rejections import PayloadTooLarge, Rejection, TooManyEvents
from sonda.resources.pipeline import PipelineProtocol

NDJSON: Final = "application/x-ndjson"
_BLANK: Final = b" \t\r"
_TURN_S: Final = 0.004
_MULTI_STATUS: Final = 207
_DIED: Final = "(the server that worked this request before has died)"


class NdjsonLine(NamedTuple):
    """One event's line: its number in the body, from 1, and its JSON."""

    number: int
    raw: bytes


class LineAnswer(NamedTuple):
    """The answer to a line, and whether the event may be sent again with its time."""

    number: int
    answer: Answer
    resend_safe: bool
    is_replayed: bool = False  # nothing was sent for it this time


@dataclass(frozen=True, slots=True)
class LineLimits:
    """The most events of a request, and bytes of each."""

    events: int
    bytes: int


def split_lines(raw: bytes, limits: LineLimits) -> list[NdjsonLine] | NotJson | TooManyEvents:
    """Return the lines that are not blank; no event at all, or too many, is the whole body's fault."""
    lines = [
        NdjsonLine(number, line)
        for number, line in enumerate(raw.split(b"\n"), start=1)
        if line.strip(_BLANK)
    ]
    if not lines:
        return NotJson("it holds no event (the body is empty)")
    return lines if len(lines) <= limits.events else TooManyEvents(limits.events)


def join_answers(answers: Iterable[LineAnswer]) -> Answer:
    """Return the answer to a request: its lines in their order, 200 if each is, else 207."""
    statuses = set()
    body: list[bytes] = []
    for number, answer, *_ in answers:
        statuses.add(answer.status)
        body.append(b'{"line":%d,"status":%d,%b' % (number, answer.status, answer.body[1:]))
    status = 200 if statuses == {200} else _MULTI_STATUS
    return Answer(status, b"".join(body), media_type=NDJSON)


def kept_lines(answer: Answer, resend_safe: Sequence[bool]) -> list[LineAnswer]:
    """Return the lines of an answer that was kept; inverse of `join_answers`."""
    lines = []
    for text, safe in zip(answer.body.splitlines(keepends=True), resend_safe, strict=True):
        document = json.loads(text)
        number, status = document.pop("line"), document.pop("status")
        lines.append(LineAnswer(number, Answer(status, compact(document) + b"\n"), safe, True))
    return lines


def died_with(delivery: Delivery) -> Problem | None:
    """Return what is known of an event whose server died; `None` where it may be sent again."""
    order = delivery.order
    if order is None or PLUGINS["sink"][order.sink.name].get("x-resend") == "safe":
        return None
    return OutcomeUnknown(order.sink.name, _DIED, order.event.time_ns)


class Batch:
    """The events of one request, which are delivered as one group for each destination."""

    def __init__(
        self,
        pipeline: PipelineProtocol,
        lines: Sequence[NdjsonLine],
        *,
        form: Form,
        caller: Caller,
        until_s: float,
        limits: LineLimits,
        request_id: str = "",
    ) -> None:
        self._pipeline = pipeline
        self._lines = lines
        self._form = form
        self._caller = caller
        self._until_s = until_s
        self._limits = limits
        self._request_id = request_id

    async def preview(self) -> list[LineAnswer]:
        """Return what would be sent for each line."""
        answers = []
        for number, raw in self._lines:
            if len(raw) > self._limits.bytes:
                answer = failed(PayloadTooLarge(self._limits.bytes), self._form)
            else:
                shown = await self._pipeline.preview(
                    raw, until_s=self._until_s, caller=self._caller
                )
                answer = (
                    previewed(shown.unwrap())
                    if isinstance(shown, Success)
                    else failed(shown.failure(), self._form)
                )
            answers.append(LineAnswer(number, answer, resend_safe=True))
        return answers

    async def deliver(
        self,
        received_ns: int | None = None,
        *,
        only: Collection[int] | None = None,
        after_death: bool = False,
    ) -> list[LineAnswer]:
        """Deliver the events, or *only* those of these lines; return the answer to each.

        With *received_ns* that is the time of the first line that has none of its own, and each
        one after it is a nanosecond later. *after_death* of the server that worked them before, only
        those are sent that may be sent again. A shutdown meanwhile is answered for each line, too.
        """
        lines = [line for line in self._lines if only is None or line.number in only]
        deliveries = [
            Delivery(self._request_id, origin="request", key_name=self._caller.name) for _ in lines
        ]
        prepared = await self._prepare(lines, deliveries, received_ns)
        settled: dict[int, Result[Receipt, Problem | Rejection]] = {}
        replayed: set[int] = set()
        for place, one in enumerate(prepared):
            if one is None:
                settled[place] = Failure(PayloadTooLarge(self._limits.bytes))
            elif after_death and (died := died_with(deliveries[place])) is not None:
                settled[place] = Failure(died)
                replayed.add(place)
        sendable = [place for place in range(len(lines)) if place not in settled]
        try:
            sent = await self._pipeline.send_prepared(
                [one for one in (prepared[place] for place in sendable) if one is not None],
                [deliveries[place] for place in sendable],
                until_s=self._until_s,
            )
        except asyncio.CancelledError as exc:  # the server's grace period is over
            outcomes = outcomes_of_group(exc)
            if outcomes is None:
                raise
            sent = list(outcomes)
        settled.update(zip(sendable, sent, strict=True))
        return [
            self._answer(line.number, settled[place], deliveries[place])._replace(
                is_replayed=place in replayed
            )
            for place, line in enumerate(lines)
        ]

    async def _prepare(
        self, lines: Sequence[NdjsonLine], deliveries: Sequence[Delivery], received_ns: int | None
    ) -> list[Result[EncodedEvent, Problem] | None]:
        """Prepare each line, `None` for one that is too long.

        Others have their turn of the event loop every few milliseconds.
        """
        prepared: list[Result[EncodedEvent, Problem] | None] = []
        turn_s = perf_counter()
        for line, delivery in zip(lines, deliveries, strict=True):
            if len(line.raw) > self._limits.bytes:
                prepared.append(None)
                continue
            time_ns = None if received_ns is None else received_ns + line.number - 1
            prepared.append(
                self._pipeline.prepare(line.raw, delivery, received_ns=time_ns, caller=self._caller)
            )
            if perf_counter() - turn_s > _TURN_S:
                await asyncio.sleep(0)
                turn_s = perf_counter()
        return prepared

    def _answer(
        self, number: int, outcome: Result[Receipt, Problem | Rejection], delivery: Delivery
    ) -> LineAnswer:
        if isinstance(outcome, Success):
            return LineAnswer(number, delivered(outcome.unwrap(), self._form), resend_safe=False)
        problem = outcome.failure()
        answer = failed(problem, self._form, delivery)
        return LineAnswer(number, answer, resend_is_safe(problem, delivery))
