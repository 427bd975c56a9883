"""The work that a request for `/events` asks for: one event or many, to be sent or previewed."""

from __future__ import annotations

import asyncio
import logging
from typing import Final, NamedTuple

from returns.result import Failure, Result, Success

from sonda.http_answers import Answer, Form, delivered, failed, previewed, resend_is_safe
from sonda.pipeline.deliver import now_ns
from sonda.pipeline.delivery import Delivery
from sonda.pipeline.interruption import outcomes_of_group
from sonda.pipeline.model import EncodedEvent, Receipt
from sonda.pipeline.policy.callers import Caller
from sonda.pipeline.problems import Forbidden, OutcomeUnknown, Problem, Refused, Unreachable
from sonda.pipeline.wire_preview import Preview
from sonda.rejections import (
    Bug,
    Conflict,
    CutOff,
    KeyMismatch,
    KeyUnstorable,
    Rejection,
    ShuttingDown,
)
from sonda.resources.errors import RequestRejected
from sonda.resources.idempotency import (
    EarlierRequest,
    Idempotent,
    KeyStore,
    OtherRequest,
    UnderWay,
    Unstorable,
    Worked,
)
from sonda.resources.ndjson import (
    LineAnswer,
    LineLimits,
    NdjsonBatch,
    died_with,
    join_answers,
    kept_lines,
    reserve_ns,
    split_lines,
)
from sonda.resources.pipeline import PipelineProtocol, prepare

_LOG: Final = logging.getLogger("sonda")


class Asked(NamedTuple):
    """What a caller wants: the body, how it is answered, and until when."""

    raw: bytes
    form: Form
    caller: Caller
    until_s: float
    request_id: str = ""


def refuse(
    why: UnderWay | OtherRequest | Unstorable, form: Form, delivery: Delivery | None
) -> Answer:
    """Return the answer to a request whose key does not let it be worked; *delivery* is its event's."""
    match why:
        case UnderWay():
            rejection: Rejection = Conflict(
                "a request with this Idempotency-Key is under way", passes=True
            )
        case OtherRequest():
            rejection = KeyMismatch()
        case Unstorable(reason):
            rejection = KeyUnstorable(reason)
    return failed(rejection, form, delivery)


class OneEvent(NamedTuple):
    """A body with one event."""

    pipeline: PipelineProtocol
    asked: Asked
    delivery: Delivery

    def received_ns(self) -> int:
        """Return the time of the event, if it has none of its own."""
        return now_ns()

    async def preview(self) -> Answer:
        """Return the answer to a dry run."""
        outcome = await self._previewed()
        if isinstance(outcome, Success):
            return previewed(outcome.unwrap())
        return failed(outcome.failure(), self.asked.form, self.delivery)

    async def deliver(self) -> Answer:
        """Deliver the event."""
        return (await self.work(self.received_ns(), None)).answer

    async def check(self) -> Answer | None:
        """Return the answer to an event that will not be sent, whatever its key; else `None`."""
        prepared = await self._prepare()
        return None if isinstance(prepared, Success) else self._answer(Failure(prepared.failure()))

    async def forbidden(self) -> Answer | None:
        """Return the answer to an event that the operator does not allow; else `None`."""
        shown = await self._previewed()
        is_forbidden = isinstance(shown, Failure) and isinstance(shown.failure(), Forbidden)
        return self._answer(Failure(shown.failure())) if is_forbidden else None

    async def work(self, time_ns: int, kept: EarlierRequest | None) -> Worked:
        """Deliver the event with *time_ns* as its time of receipt, unless that was done before."""
        asked, delivery = self.asked, self.delivery
        prepared = await self._prepare(time_ns)
        is_cut_off = kept is not None and (kept.answer is None or kept.is_cut_off)
        if is_cut_off and (died := died_with(delivery)) is not None:
            return Worked(failed(died, asked.form, delivery), (False,), is_replayed=True)
        try:
            (outcome,) = await self.pipeline.send_prepared(
                [prepared], [delivery], until_s=asked.until_s, waits=False
            )
        except asyncio.CancelledError as exc:
            outcomes = outcomes_of_group(exc)
            if outcomes is None:
                return Worked(cut_off(asked.form, delivery), (False,))
            (outcome,) = outcomes
        safe = not isinstance(outcome, Success) and resend_is_safe(outcome.failure(), delivery)
        return Worked(self._answer(outcome), (safe,))

    def crashed(self, exc: Exception) -> Worked:
        """Return what is kept of an event that a bug of ours has stopped: the answer 500."""
        bug = Bug(type(exc).__name__)
        safe = resend_is_safe(bug, self.delivery)
        return Worked(failed(bug, self.asked.form, self.delivery), (safe,))

    async def _previewed(self) -> Result[Preview, Problem]:
        asked = self.asked
        return await self.pipeline.preview(
            asked.raw, self.delivery, until_s=asked.until_s, caller=asked.caller
        )

    async def _prepare(self, time_ns: int | None = None) -> Result[EncodedEvent, Problem]:
        asked = self.asked
        return await prepare(
            self.pipeline, asked.raw, self.delivery, received_ns=time_ns, caller=asked.caller
        )

    def _answer(self, outcome: Result[Receipt, Problem]) -> Answer:
        form = self.asked.form
        if isinstance(outcome, Success):
            return delivered(outcome.unwrap(), form)
        return not_delivered(outcome.failure(), form, self.delivery)


def one_event(pipeline: PipelineProtocol, asked: Asked) -> OneEvent:
    """Return the work of a body with one event."""
    delivery = Delivery(asked.request_id, origin="request", key_name=asked.caller.name)
    return OneEvent(pipeline, asked, delivery)


def cut_off(form: Form, delivery: Delivery) -> Answer:
    """Return the answer to an event whose request the end of the server has cancelled."""
    outcome = delivery.outcome
    problem = outcome.failure() if isinstance(outcome, Failure) else CutOff()
    return not_delivered(problem, form, delivery)


def not_delivered(problem: Problem | Rejection, form: Form, delivery: Delivery) -> Answer:
    """Return the answer to a problem; a destination's failure is the operator's business, too."""
    if isinstance(problem, Unreachable | Refused | OutcomeUnknown):
        _LOG.warning("%s", problem, extra={"request_id": delivery.id})
    return failed(problem, form, delivery)


class ManyEvents:
    """A body with an event in each line."""

    def __init__(self, batch: NdjsonBatch, form: Form) -> None:
        self._batch = batch
        self._form = form

    def received_ns(self) -> int:
        """Return the time of the first event; each one after it has the next nanosecond for its own."""
        return reserve_ns(len(self._batch))

    async def preview(self) -> Answer:
        """Return the answer to a dry run of each line."""
        return await join_answers(await self._batch.preview())

    async def deliver(self) -> Answer:
        """Deliver the events."""
        return await join_answers(await self._batch.deliver())

    async def check(self) -> Answer | None:
        """Return `None`: the body has been read, and each line has its own answer."""
        return None

    async def forbidden(self) -> Answer | None:
        """Return `None`: a line that is not allowed has its own answer."""
        return None

    async def work(self, time_ns: int, kept: EarlierRequest | None) -> Worked:
        """Deliver the events, but those that an earlier request has settled."""
        if kept is None or kept.answer is None:
            answers = await self._batch.deliver(time_ns, after_death=kept is not None)
        else:
            settled = await kept_lines(kept.answer, kept.resend_safe)
            again = await self._batch.deliver(
                time_ns, only=_unsettled(settled), after_death=kept.is_cut_off
            )
            by_number = {line.number: line for line in (*settled, *again)}
            answers = [by_number[number] for number in sorted(by_number)]
        safe = tuple(line.resend_safe for line in answers)
        is_replayed = any(line.is_replayed for line in answers)
        return Worked(await join_answers(answers), safe, is_replayed)

    def crashed(self, exc: Exception) -> Worked:
        """Return what is kept where a bug of ours has stopped the request: the answer 500."""
        return Worked(failed(Bug(type(exc).__name__), self._form), (False,))


def _unsettled(lines: list[LineAnswer]) -> set[int]:
    return {line.number for line in lines if line.answer.status != 200 and line.resend_safe}  # noqa: PLR2004  # a status of HTTP


async def many_events(pipeline: PipelineProtocol, asked: Asked, limits: LineLimits) -> ManyEvents:
    """Return the work of a body of lines; raise `RequestRejected` for what is wrong with the whole body."""
    try:
        lines = await split_lines(asked.raw, limits)
    except asyncio.CancelledError:
        raise RequestRejected(ShuttingDown()) from None
    if not isinstance(lines, list):
        raise RequestRejected(lines)
    batch = NdjsonBatch(
        pipeline,
        lines,
        form=asked.form,
        caller=asked.caller,
        until_s=asked.until_s,
        limits=limits,
        request_id=asked.request_id,
    )
    return ManyEvents(batch, asked.form)


async def work_once(
    work: OneEvent | ManyEvents, asked: Asked, keys: KeyStore | None, key: str, named: bytes
) -> Answer:
    """Return the answer to a request with an `Idempotency-Key`, whose fingerprint is *named*."""
    if (refused := await work.check()) is not None:
        return refused

    async def turn_down(why: UnderWay | OtherRequest | Unstorable) -> Answer:
        """What the operator does not allow is told first; most of it is judged as it is sent."""
        delivery = work.delivery if isinstance(work, OneEvent) else None
        return await work.forbidden() or refuse(why, asked.form, delivery)

    if keys is None:
        return await turn_down(Unstorable("there is no folder that can be written to"))
    once = Idempotent(keys, asked.caller.name, key, named)
    return await once.answer(work.received_ns(), work.work, turn_down, work.crashed)
