"""The pipeline: parse, validate, preflight, encode, push, flush."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from returns.result import Failure, Result, Success

from sonda.pipeline.delivery import UNDER_WAY, Delivery
from sonda.pipeline.events import AnyEvent, to_json
from sonda.pipeline.groups import delivery_of, in_place, record, send_groups
from sonda.pipeline.hiding import (
    hide_advisories,
    hide_group_cancellation,
    hide_outcome,
    hide_refusal,
)
from sonda.pipeline.interruption import (
    Interrupted,
    InterruptedGroup,
    outcomes_of_group,
    what_became,
)
from sonda.pipeline.long_bodies import Document, Validated, prepare_in_turns
from sonda.pipeline.model import EncodedEvent, Event, Receipt, Route, Signal, ValidatedEvent
from sonda.pipeline.net import AccessPolicy, Network
from sonda.pipeline.net.limiter import DestinationLimiter
from sonda.pipeline.net.sockets import words
from sonda.pipeline.net.threads import in_thread, start_threads_of_loop
from sonda.pipeline.observer import NOBODY, Observer
from sonda.pipeline.plugins.built_in import load_built_in
from sonda.pipeline.policy.callers import ANYBODY, Caller, Directory, nothing_configured
from sonda.pipeline.problems import DestinationBusy, Problem, Unreachable
from sonda.pipeline.result import then
from sonda.pipeline.stages.admit import admit
from sonda.pipeline.stages.encode import encode
from sonda.pipeline.stages.parse import parse
from sonda.pipeline.stages.preflight import preflight
from sonda.pipeline.stages.preview import preview
from sonda.pipeline.stages.send import flush, push
from sonda.pipeline.stages.validate import validate
from sonda.pipeline.stages.verify import side_by_side, verify
from sonda.pipeline.turns import Turns
from sonda.pipeline.unknown_or_unsent import WHILE_UNSENT
from sonda.pipeline.values.timestamps import unique_clock
from sonda.pipeline.wire_preview import Preview

if TYPE_CHECKING:
    from sonda.pipeline.net.proxies import Proxies

_LOG: Final = logging.getLogger("sonda")
# One for the process: two pipelines must not give the same nanosecond.
now_ns = unique_clock(time.time_ns)


class Pipeline:
    """The way from bytes to a receipt, and the connections it keeps.

    Use it as an async context manager; it serves any number of events at once. A server confines
    it and says so (*in_server*); without an access policy, all that the user may reach is allowed. Each
    destination may have *share* events under way, or any number. A server also has its advisories
    logged, by *warn*. *directory* returns the operator's destinations, each time anew, which a body
    names by `destination`. The *observer* hears of each event's outcome, and of connections.
    """

    def __init__(
        self,
        *,
        access_policy: AccessPolicy | None = None,
        in_server: bool = False,
        share: int | None = None,
        warn: Callable[[str], object] = partial(_LOG.warning, "%s"),  # noqa: B008  # it is immutable
        observer: Observer = NOBODY,
        directory: Directory = nothing_configured,
        proxies: Proxies | None = None,
    ) -> None:
        self._directory = directory
        self._network = Network(access_policy, observer, proxies)
        self._share = share
        self._shares = DestinationLimiter(share)
        self._in_server = in_server
        self._told = (observer, warn if in_server else None)
        self._preflight = partial(preflight, in_server=in_server)

    async def __aenter__(self) -> Self:
        if self._in_server:
            load_built_in()
            await start_threads_of_loop()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._network.aclose()

    async def emit(self, event: AnyEvent) -> Result[Receipt, Problem]:
        """Deliver one event, typed or as the mapping that the HTTP body would be."""
        return await then(to_json(event), self.deliver)

    def prepare(
        self,
        raw: bytes,
        delivery: Delivery | None = None,
        *,
        received_ns: int | None = None,
        caller: Caller = ANYBODY,
        done: tuple[Document, Validated] | None = None,
    ) -> Result[EncodedEvent, Problem]:
        """Return the encoded event of a JSON body: parse, validate, preflight, encode; no I/O.

        Without a timestamp of its own the event gets *received_ns*, by default the time now. Fails
        with `NotJson`, `Malformed` or `Invalid`, and with `Forbidden` for what *caller* may not use.
        The *delivery* learns of each stage; *done* is what the first two made at *received_ns*.
        """
        time_ns = now_ns() if received_ns is None else received_ns
        if done is None:
            document = parse(raw)
            find = partial(caller.find, self._directory)
            validated = document.bind(partial(validate, received_ns=time_ns, destinations=find))
        else:
            document, validated = done
        validated = validated.bind(self._preflight)
        valid = validated.value_or(None)
        if is_named := valid is not None and valid.destination is not None:
            validated = validated.map(hide_advisories)
        if delivery is not None:
            delivery.prepared(document, validated, time_ns)
        encoded = validated.bind(encode)
        if caller.allowed is not None or (valid is not None and valid.verify is not None):
            encoded = encoded.bind(partial(admit, caller=caller, network=self._network))
        if is_named:
            encoded = hide_refusal(encoded, validated.unwrap())
        if delivery is not None and isinstance(encoded, Success):
            delivery.encoded_ns = time.perf_counter_ns()
        return encoded

    def validate(self, document: Document, received_ns: int, caller: Caller) -> Validated:
        """Return the event of a parsed body; fails as `prepare` does, `Forbidden` aside."""
        find = partial(caller.find, self._directory)
        return document.bind(partial(validate, received_ns=received_ns, destinations=find))

    def route(
        self, signal_type: Signal, encoder: Mapping[str, Any], sink: Mapping[str, Any]
    ) -> Result[Route, Problem]:
        """Return the route of events with this encoder and this sink, which are as JSON has them.

        Fails with `Malformed` or `Invalid`, as a body with these would.
        """
        parts = {"logs": {"log": {"severity": "info", "message": ""}}}
        event = parts.get(signal_type, {"metric": {"name": "m", "value": 0}})
        chosen = {"encoder": encoder, "sink": sink}
        document = {"signal_type": signal_type, "labels": {}, **event, **chosen}
        return to_json(document).bind(parse).bind(partial(validate, received_ns=0)).map(Route.of)

    async def send(
        self, event: Event, route: Route, *, until_s: float | None = None, waits: bool = True
    ) -> Result[Receipt, Problem]:
        """Deliver one event whose `time_ns` is set by *route*; see `send_many`."""
        (result,) = await self.send_many((event,), route, until_s=until_s, waits=waits)
        return result

    async def send_many(
        self,
        events: Sequence[Event],
        route: Route,
        *,
        until_s: float | None = None,
        waits: bool = True,
    ) -> list[Result[Receipt, Problem]]:
        """Deliver a group in its order, and return the verdict on each event, in that order.

        The group has one deadline: the sink's timeout, cut at loop time *until_s*. Where the
        destination is full the group waits within it, or fails at once with `DestinationBusy`
        (*waits* is false). Labels are taken as valid: validation is for bodies.
        """
        validated_events = [ValidatedEvent(event, route.encoder, route.sink) for event in events]
        prepared = [self._preflight(validated).bind(encode) for validated in validated_events]
        return await self.send_prepared(prepared, until_s=until_s, waits=waits)

    async def send_prepared(
        self,
        prepared: Sequence[Result[EncodedEvent, Problem]],
        deliveries: Sequence[Delivery] = (),
        *,
        until_s: float | None = None,
        waits: bool = True,
    ) -> list[Result[Receipt, Problem]]:
        """Deliver what `prepare` has made of many bodies; return each one's verdict, in their order.

        Events for one sink go in their order, as one group; groups go side by side. *deliveries*
        are those that `prepare` was given, one for each. Cancelled, the cancellation's cause has the
        outcome of each (`outcomes_of_group`), and so have the deliveries.
        """
        turns = Turns()
        deliveries = deliveries or [delivery_of(one) for one in prepared]
        ready = [one.unwrap() for one in prepared if isinstance(one, Success)]
        pairs = zip(prepared, deliveries, strict=True)
        leaving = [delivery for one, delivery in pairs if isinstance(one, Success)]
        try:
            sent = await send_groups(
                ready,
                leaving,
                self._network,
                self._shares,
                until_s=until_s,
                waits=waits,
                turns=turns,
            )
        except asyncio.CancelledError as exc:
            hide_group_cancellation(exc, [one.validated for one in ready])
            outcomes = outcomes_of_group(exc)
            if outcomes is not None:
                results = in_place(prepared, outcomes)
                recorded = await record(deliveries, results, *self._told, turns=None)
                exc.__cause__ = InterruptedGroup(recorded)
            raise
        verified = sent
        if any(event.validated.verify is not None for event in ready):
            verifying = partial(self._verified, until_s=until_s)
            verified = await side_by_side(
                map(verifying, ready, sent), survives_cancellation=self._in_server
            )
        shown = map(hide_outcome, verified, (event.validated for event in ready))
        turns = Turns(survives_cancellation=True)
        recording = turns if self._in_server else None
        return await record(deliveries, in_place(prepared, shown), *self._told, turns=recording)

    def _finished(self, delivery: Delivery, outcome: Result[Receipt, Problem]) -> None:
        """Record the outcome of one event, as `record` does for those of a group."""
        (observer, warn), warnings = self._told, delivery.ended(outcome)
        observer.finished(delivery, outcome)
        for warning in dict.fromkeys(warnings):
            if warn is not None:
                warn(warning)

    async def deliver(
        self,
        raw: bytes,
        delivery: Delivery | None = None,
        *,
        until_s: float | None = None,
        caller: Caller = ANYBODY,
    ) -> Result[Receipt, Problem]:
        """Deliver one event; succeed only once the destination has confirmed it.

        *raw* is the JSON body; *until_s*, on the event loop's clock, cuts the sink's own timeout.
        Fails with any `Problem`; nothing was sent unless it is `Refused`, `OutcomeUnknown`, or
        `Unreachable` after a refusal. If cancelled, *delivery* and the `__cause__` have the outcome.
        """
        delivery = Delivery() if delivery is None else delivery
        before = UNDER_WAY.set((delivery,))
        try:
            encoded = self.prepare(raw, delivery, caller=caller)
            if isinstance(encoded, Success):
                outcome = await self._send(encoded.unwrap(), delivery, until_s)  # the first I/O
            else:
                outcome = Failure(encoded.failure())
            self._finished(delivery, outcome)
        except asyncio.CancelledError as exc:
            outcome = Failure(what_became(exc) or delivery.unfinished(WHILE_UNSENT))
            if delivery.validated is not None:
                outcome = hide_outcome(outcome, delivery.validated)
            exc.__cause__ = Interrupted(outcome.failure())
            self._finished(delivery, outcome)
            raise
        finally:
            UNDER_WAY.reset(before)
        return outcome

    async def _send(
        self, event: EncodedEvent, delivery: Delivery, until_s: float | None
    ) -> Result[Receipt, Problem]:
        """Push, and wait for the yes, if the destination may have one more event under way."""
        validated, sink = event.validated, event.validated.sink
        # What `take` and `release` do, without a call for each event.
        under_way, place = self._shares.single, sink.destination
        count = under_way.get(place, 0)
        if count == self._shares.most:
            return hide_outcome(Failure(DestinationBusy(sink.target, count)), validated)
        under_way[place] = count + 1
        try:
            pushed = await push(event, network=self._network, until_s=until_s)
            if isinstance(pushed, Success):
                receipt = await flush(pushed.unwrap(), validated, began_ns=delivery.prepared_ns)
            else:
                receipt = Failure(pushed.failure())
        finally:
            under_way[place] -= 1
            if not under_way[place]:
                del under_way[place]
        if validated.verify is not None:  # as the stage asks, too: a call less for most events
            receipt = await self._verified(event, receipt, until_s=until_s)
        return receipt if validated.destination is None else hide_outcome(receipt, validated)

    async def _verified(
        self, encoded: EncodedEvent, receipt: Result[Receipt, Problem], *, until_s: float | None
    ) -> Result[Receipt, Problem]:
        """Return *receipt* with what reading the event back has come to, where it is asked for."""
        if not isinstance(receipt, Success):
            return receipt
        return Success(
            await verify(
                encoded,
                receipt.unwrap(),
                network=self._network,
                until_s=until_s,
                survives_cancellation=self._in_server,
            )
        )

    async def preview(
        self,
        raw: bytes,
        delivery: Delivery | None = None,
        *,
        until_s: float | None = None,
        caller: Caller = ANYBODY,
    ) -> Result[Preview, Problem]:
        """Return what `deliver` would send; opens and sends nothing. *delivery* is as in `prepare`.

        Fails with `NotJson`, `Malformed`, `Invalid` or `Forbidden`, and with `Unreachable` for what
        is too long for its destination.
        """
        prepared = await prepare_in_turns(self, raw, delivery, received_ns=now_ns(), caller=caller)
        return await then(prepared, partial(self._describe, until_s=until_s))

    async def _describe(
        self, encoded: EncodedEvent, *, until_s: float | None
    ) -> Result[Preview, Problem]:
        """Ask the sink, in a thread: whether a path is allowed the file system has to tell."""
        try:
            async with asyncio.timeout_at(until_s):
                shown = await in_thread(partial(preview, encoded, network=self._network))
                return hide_outcome(shown, encoded.validated)
        except OSError as exc:  # no answer in time, or no thread to be had
            is_late = isinstance(exc, TimeoutError)
            why = "the file system did not answer in time" if is_late else words(exc)
            name = encoded.validated.sink.name
            return Failure(Unreachable(f"look at the paths of sink {name}", why))
