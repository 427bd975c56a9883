"""Many events in one request: a line of JSON each, answered by a line each.

Spec: https://github.com/ndjson/ndjson-spec
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from returns.result import Failure, Result, Success

from sonda.http_answers import Answer, Form, delivered, failed, previewed, resend_is_safe
from sonda.pipeline.alike_bodies import AlikeBodies
from sonda.pipeline.deliver import now_ns
from sonda.pipeline.delivery import Delivery
from sonda.pipeline.interruption import outcomes_of_group
from sonda.pipeline.model import EncodedEvent, Receipt
from sonda.pipeline.policy.callers import Caller
from sonda.pipeline.problems import NotJson, OutcomeUnknown, Problem
from sonda.pipeline.schemas.registry import PLUGINS
from sonda.pipeline.text.compact_json import compact
from sonda.pipeline.turns import LIGHT, YOUNG_COLLECTIONS, Turns
from sonda.rejections import PayloadTooLarge, Rejection, ShuttingDown, TooManyEvents
from sonda.resources.errors import RequestRejected
from sonda.resources.pipeline import PipelineProtocol, prepare

NDJSON: Final = "application/x-ndjson"
_PIECE: Final = 65_536
_BLOCK_LINES: Final = 500
_BLANKS: Final = re.compile(rb"[ \t\r\n]*+")
_MULTI_STATUS: Final = 207
_DIED: Final = "(the server that worked this request before has died)"


class NdjsonLine(NamedTuple):
    """One event's line: its number in the body, from 1, its JSON, and its place among the events."""

    number: int
    raw: bytes
    place: int


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


def reserve_ns(events: int) -> int:
    """Return the time now; each event after the first one has the next nanosecond for its own."""
    first_ns = now_ns()
    while 0 <= now_ns() - first_ns < events:
        pass  # for some microseconds: no other event gets one of these times
    return first_ns


async def split_lines(raw: bytes, limits: LineLimits) -> list[NdjsonLine] | NotJson | TooManyEvents:
    """Return the lines that are not blank; no event at all, or too many, is the whole body's fault.

    Nothing is read beyond the first event that is too many.
    """
    lines: list[NdjsonLine] = []
    turns = Turns()
    for found in _lines(raw):
        if found is not None:
            if len(lines) == limits.events:
                return TooManyEvents(limits.events)
            lines.append(NdjsonLine(*found, len(lines)))
        if (found is None or not len(lines) % LIGHT) and turns.is_over:
            await turns.pause()
    return lines or NotJson("it holds no event (the body is empty)")


def _lines(raw: bytes) -> Iterator[tuple[int, bytes] | None]:
    """Yield the lines that are not blank and their numbers, and `None` for each piece of blanks between them."""
    number, line_at, at = 1, 0, 0
    while at < len(raw):
        event_at = at
        if not (line_at == at and raw.startswith(b"{", at)):
            event_at = _skip_blanks(raw, at)
            number += raw.count(b"\n", at, event_at)
            line_at = raw.rfind(b"\n", at, event_at) + 1 or line_at
            if event_at == min(at + _PIECE, len(raw)):
                at = event_at
                yield None
                continue
        end = raw.find(b"\n", event_at)
        end = len(raw) if end < 0 else end
        yield number, raw[line_at:end]
        number, line_at, at = number + 1, end + 1, end + 1


def _skip_blanks(raw: bytes, start: int) -> int:
    found = _BLANKS.match(raw, start, start + _PIECE)
    return start if found is None else found.end()


async def join_answers(answers: list[LineAnswer]) -> Answer:
    """Return the answer to a request: its lines in their order, 200 if each is, else 207.

    *answers* is empty afterwards.
    """
    statuses = set()
    blocks: list[bytes] = []
    lines: list[bytes] = []
    turns = Turns(survives_cancellation=True)
    for number, answer, *_ in answers:
        statuses.add(answer.status)
        lines.append(b'{"line":%d,"status":%d,%b' % (number, answer.status, answer.body[1:]))
        if len(lines) == _BLOCK_LINES:  # all at once would take its time
            blocks.append(b"".join(lines))
            lines.clear()
        if not len(lines) % LIGHT and turns.is_over:
            await turns.pause()
    await turns.release(answers)
    status = 200 if statuses == {200} else _MULTI_STATUS
    return Answer(status, b"".join((*blocks, *lines)), media_type=NDJSON)


async def kept_lines(answer: Answer, resend_safe: Sequence[bool]) -> list[LineAnswer]:
    """Return the lines of an answer that was kept; inverse of `join_answers`."""
    lines = []
    turns = Turns()
    for text, safe in zip(answer.body.splitlines(keepends=True), resend_safe, strict=True):
        document = json.loads(text)
        number, status = document.pop("line"), document.pop("status")
        lines.append(LineAnswer(number, Answer(status, compact(document) + b"\n"), safe, True))
        await turns.pause()
    return lines


def died_with(delivery: Delivery) -> Problem | None:
    """Return what is known of an event whose server died; `None` where it may be sent again."""
    validated = delivery.validated
    if validated is None or PLUGINS["sink"][validated.sink.name].get("x-resend") == "safe":
        return None
    return OutcomeUnknown(validated.sink.name, _DIED, validated.event.time_ns)


class _Prepared:
    """Lines that have been read: those that can be sent, and the others' verdicts by their number."""

    def __init__(self) -> None:
        self.deliveries: list[Delivery] = []
        self.prepared: list[Result[EncodedEvent, Problem]] = []
        self.sendable: list[Delivery] = []  # those of `prepared`
        self.settled: dict[int, Result[Receipt, Problem | Rejection]] = {}
        self.replayed: set[int] = set()


class NdjsonBatch:
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
        self._form = form._replace(is_line=True)
        self._caller = caller
        self._until_s = until_s
        self._limits = limits
        self._request_id = request_id

    def __len__(self) -> int:
        return len(self._lines)

    async def preview(self) -> list[LineAnswer]:
        """Return what would be sent for each line."""
        answers = []
        turns = Turns()
        for number, raw, _ in self._lines:
            if len(raw) > self._limits.bytes:
                answer = failed(PayloadTooLarge(self._limits.bytes), self._form)
            else:
                delivery = Delivery()
                shown = await self._pipeline.preview(
                    raw, delivery, until_s=self._until_s, caller=self._caller
                )
                answer = (
                    previewed(shown.unwrap())
                    if isinstance(shown, Success)
                    else failed(shown.failure(), self._form, delivery)
                )
            answers.append(LineAnswer(number, answer, resend_safe=True))
            await turns.pause()
        return answers

    async def deliver(
        self,
        received_ns: int | None = None,
        *,
        only: Collection[int] | None = None,
        after_death: bool = False,
    ) -> list[LineAnswer]:
        """Deliver the events, or *only* those of these lines; return the answer to each.

        With *received_ns* that is the time of the first event, and each one after it is a nanosecond
        later, where they have none of their own. *after_death* of the server that worked them before, only
        those are sent that may be sent again. A shutdown meanwhile is answered for each line, too.
        """
        with YOUNG_COLLECTIONS.only():
            return await self._deliver(received_ns, only, after_death=after_death)

    async def _deliver(
        self, received_ns: int | None, only: Collection[int] | None, *, after_death: bool
    ) -> list[LineAnswer]:
        lines = [line for line in self._lines if only is None or line.number in only]
        received_ns = reserve_ns(len(self._lines)) if received_ns is None else received_ns
        try:
            work = await self._prepare(lines, received_ns, after_death=after_death)
        except asyncio.CancelledError:  # the server's grace period is over
            raise RequestRejected(ShuttingDown()) from None
        try:
            sent = await self._pipeline.send_prepared(
                work.prepared, work.sendable, until_s=self._until_s
            )
        except asyncio.CancelledError as exc:  # the server's grace period is over
            outcomes = outcomes_of_group(exc)
            if outcomes is None:
                raise
            sent = list(outcomes)
        answers: list[LineAnswer] = []
        verdicts = iter(sent)
        yes = _Deliveries(self._form)
        turns = Turns(survives_cancellation=True)
        for line, delivery in zip(lines, work.deliveries, strict=True):
            settled = work.settled.get(line.number)
            outcome = next(verdicts) if settled is None else settled
            if isinstance(outcome, Success):
                answer = yes.answer(outcome.unwrap())
                answers.append(LineAnswer(line.number, answer, resend_safe=False))
                is_light = len(answers) % LIGHT != 0
            else:
                is_replayed = line.number in work.replayed
                problem = outcome.failure()
                answers.append(self._failed(line.number, problem, delivery, is_replayed))
                is_light = False
            if not is_light and turns.is_over:
                await turns.pause()
        await turns.release(sent, work.prepared, work.sendable, work.deliveries)
        return answers

    async def _prepare(
        self, lines: Sequence[NdjsonLine], received_ns: int, *, after_death: bool
    ) -> _Prepared:
        """Prepare each line; nothing has been sent meanwhile."""
        work = _Prepared()
        alike = AlikeBodies()
        turns = Turns()
        for line in lines:
            delivery = Delivery(self._request_id, origin="request", key_name=self._caller.name)
            work.deliveries.append(delivery)
            if len(line.raw) > self._limits.bytes:
                work.settled[line.number] = Failure(PayloadTooLarge(self._limits.bytes))
                continue
            time_ns = received_ns + line.place
            prepared = alike.prepare(line.raw, delivery, time_ns)
            is_light = prepared is not None and len(work.deliveries) % LIGHT != 0
            if prepared is None:
                prepared = await prepare(
                    self._pipeline, line.raw, delivery, received_ns=time_ns, caller=self._caller
                )
                alike.learn(line.raw, prepared)
            if after_death and (died := died_with(delivery)) is not None:
                work.settled[line.number] = Failure(died)
                work.replayed.add(line.number)
            else:
                work.prepared.append(prepared)
                work.sendable.append(delivery)
            if not is_light and turns.is_over:
                await turns.pause()
        return work

    def _failed(
        self, number: int, problem: Problem | Rejection, delivery: Delivery, is_replayed: bool
    ) -> LineAnswer:
        answer = failed(problem, self._form, delivery)
        return LineAnswer(number, answer, resend_is_safe(problem, delivery), is_replayed)


class _Deliveries:
    """The answers 200 of a batch: lines that were acknowledged together have the same one."""

    def __init__(self, form: Form) -> None:
        self._form = form
        self._known: dict[tuple[str, int, tuple[str, ...]], Answer] = {}

    def answer(self, receipt: Receipt) -> Answer:
        """Return the answer to an event, as `delivered` does."""
        if self._form.receipt or receipt.verified is not None:
            return delivered(receipt, self._form)
        key = receipt.signal_type, receipt.latency_us // 1000, receipt.warnings
        answer = self._known.get(key)
        if answer is None:
            answer = self._known[key] = delivered(receipt, self._form)
        return answer
