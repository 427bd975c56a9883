"""For scripts and notebooks: one call for one event, and one for many."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from concurrent.futures import Future
from functools import partial
from typing import Any, Final, TypeVar

from returns.result import Failure, Result, Success

from sonda.loops import run as run_loop
from sonda.pipeline.deliver import Pipeline, now_ns
from sonda.pipeline.events import AnyEvent, to_json
from sonda.pipeline.model import Log, Metric, Receipt
from sonda.pipeline.net import Network
from sonda.pipeline.net.sockets import words
from sonda.pipeline.net.threads import start_daemon
from sonda.pipeline.problems import Invalid, Malformed, Problem, Unreachable, ValidationIssue
from sonda.pipeline.result import then
from sonda.pipeline.schemas.registry import PLUGINS
from sonda.pipeline.stages.encode import encode as encode_order
from sonda.pipeline.stages.parse import parse
from sonda.pipeline.stages.preflight import preflight
from sonda.pipeline.stages.preview import preview as preview_parcel
from sonda.pipeline.stages.validate import validate
from sonda.pipeline.text.escape import quote
from sonda.pipeline.values.durations import seconds
from sonda.pipeline.wire_preview import Preview

_ANY_SINK: Final = {"type": "http_push", "url": "http://localhost"}  # takes what any encoder makes
CONCURRENCY: Final = 32

A = TypeVar("A")
B = TypeVar("B")


class NotDelivered(Exception):  # noqa: N818  # the public name; an unknown outcome is no error
    """What `send` raises: its text is that of *problem*, one of `sonda.problems`.

    After `OutcomeUnknown` the destination may have the event all the same.
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        return str(self.problem)


async def emit_async(
    event: AnyEvent,
    *,
    verify: str | None = None,
    timeout: str | None = None,  # noqa: ASYNC109  # a duration as text, which becomes the sink's
) -> Result[Receipt, Problem]:
    """Deliver one event; return a `Success` once its destination has confirmed it, else a `Failure`.

    *timeout*, such as "5s", is the deadline of the delivery in place of the sink's own; *verify*
    is how long the event is read back after the acknowledgement. Fails with any problem of
    `sonda.problems`. Opens its connection anew; for many events keep a `Pipeline`.

    A `Result` is always true: ask `is_successful`, use `match`, or call `send_async`, which raises.
    """
    async with Pipeline() as pipeline:
        return await deliver(pipeline, event, verify=verify, timeout=timeout)


def emit(
    event: AnyEvent, *, verify: str | None = None, timeout: str | None = None
) -> Result[Receipt, Problem]:
    """Deliver one event from code that is not async; see `emit_async`.

    Works where an event loop is running, too, as in a notebook, but blocks it meanwhile; and while
    the interpreter exits. A `Result` is always true: in a script `send` is safer, since it raises.
    """
    return _run(partial(emit_async, event, verify=verify, timeout=timeout), _no_thread)


async def send_async(
    event: AnyEvent,
    *,
    verify: str | None = None,
    timeout: str | None = None,  # noqa: ASYNC109  # as above
) -> Receipt:
    """Deliver one event and return its receipt; raise `NotDelivered` for any problem.

    The arguments are those of `emit_async`.
    """
    return _receipt(await emit_async(event, verify=verify, timeout=timeout))


def send(event: AnyEvent, *, verify: str | None = None, timeout: str | None = None) -> Receipt:
    """Deliver one event and return its receipt; raise `NotDelivered` for any problem.

    The arguments are those of `emit`.
    """
    return _receipt(emit(event, verify=verify, timeout=timeout))


async def emit_many_async(
    events: Iterable[AnyEvent],
    *,
    concurrency: int = CONCURRENCY,
    verify: str | None = None,
    timeout: str | None = None,  # noqa: ASYNC109  # as above
) -> list[Result[Receipt, Problem]]:
    """Deliver events over connections that are kept; return each one's result, in their order.

    At most *concurrency* are on their way at a time. They set out in order, but only with a
    *concurrency* of 1 is each confirmed before the next one leaves. *verify* and *timeout* are
    each event's, as in `emit_async`.
    """
    many = _checked(events)
    async with Pipeline() as pipeline:
        step = partial(deliver, pipeline, verify=verify, timeout=timeout)
        return await each(many, step, concurrency=concurrency)


def emit_many(
    events: Iterable[AnyEvent],
    *,
    concurrency: int = CONCURRENCY,
    verify: str | None = None,
    timeout: str | None = None,
) -> list[Result[Receipt, Problem]]:
    """Deliver events from code that is not async; see `emit_many_async`."""
    written = list(_checked(events)) if _loop_is_running() else _checked(events)
    many = partial(
        emit_many_async, written, concurrency=concurrency, verify=verify, timeout=timeout
    )
    return _run(many, lambda reason: [_no_thread(reason) for _ in written])


def _checked(events: Iterable[AnyEvent]) -> Iterable[AnyEvent]:
    """Return *events*; raise `TypeError` for what cannot be many: one event, a text, no iterable."""
    if isinstance(events, (Mapping, str, bytes)) or not isinstance(events, Iterable):
        kind = type(events).__name__
        raise TypeError(f"expected many events, got one {kind}: for one there is emit, or [event]")
    return events


async def deliver(
    pipeline: Pipeline,
    event: AnyEvent,
    *,
    verify: str | None = None,
    timeout: str | None = None,  # noqa: ASYNC109  # as above
) -> Result[Receipt, Problem]:
    """Deliver one event by *pipeline*, with *verify* and *timeout* in place of the event's own."""
    raw = _body(event).bind(partial(_with_spans, verify=verify, timeout=timeout))
    until_s = None
    if (
        timeout is not None
        and isinstance(raw, Success)
        and not _has_timeout(json.loads(raw.unwrap()))
    ):
        until_s = asyncio.get_running_loop().time() + seconds(timeout)
    return await then(raw, partial(pipeline.deliver, until_s=until_s))


def _body(event: object) -> Result[bytes, Problem]:
    """Return the HTTP body of an event; fail with `Malformed` for what is none."""
    if isinstance(event, (Log, Metric, Mapping)):
        return to_json(event)
    several = "; emit_many takes several" if isinstance(event, (list, tuple)) else ""
    got = f"expected a dict, a Log or a Metric, got a value of type {type(event).__name__}"
    return Failure(Malformed((ValidationIssue("", got + several),)))


def _has_timeout(document: Any) -> bool:
    """Return whether the sink of an event has a `timeout` of its own."""
    sink = document.get("sink") if isinstance(document, dict) else None
    name = str(sink.get("type")) if isinstance(sink, dict) else ""
    return "timeout" in PLUGINS["sink"].get(name, {}).get("properties", {})


def _with_spans(raw: bytes, *, verify: str | None, timeout: str | None) -> Result[bytes, Problem]:
    """Put the durations that a caller has given into an event; fail with `Invalid` for bad ones."""
    spans: dict[str, Any] = {"timeout": timeout, "verify": verify}
    others = [name for name, span in spans.items() if not isinstance(span, (str, type(None)))]
    if others:
        reason = 'expected a duration as a string (for example "5s"), got '
        issues = [ValidationIssue(name, f"{reason}{spans[name]!r:.200}") for name in others]
        return Failure(Malformed(tuple(issues)))
    issues = [
        ValidationIssue(name, f"invalid value {quote(text)}: {reason}")
        for name, text in spans.items()
        if text is not None and (reason := _why_no_span(text))
    ]
    if issues:
        return Failure(Invalid(tuple(issues)))
    document = json.loads(raw) if verify or timeout else None
    if not isinstance(document, dict):
        return Success(raw)
    if timeout is not None and _has_timeout(document):
        document["sink"]["timeout"] = timeout
    if verify is not None:
        own = document.get("verify")
        document["verify"] = {**(own if isinstance(own, dict) else {}), "timeout": verify}
    return Success(json.dumps(document).encode())


def _why_no_span(text: str) -> str:
    try:
        return "" if seconds(text) > 0 else "must be above zero"
    except ValueError as exc:
        return str(exc)


def _receipt(result: Result[Receipt, Problem]) -> Receipt:
    if isinstance(result, Failure):
        raise NotDelivered(result.failure())
    return result.unwrap()


def _loop_is_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _no_thread(reason: str) -> Result[Receipt, Problem]:
    return Failure(Unreachable("start a thread for the event", reason))


def _run(main: Callable[[], Coroutine[Any, Any, A]], no_thread: Callable[[str], A]) -> A:
    """Run a coroutine to its end on an event loop of its own, in a thread where one is running."""
    if sys.is_finalizing():  # called by a finalizer: a thread would be waited for that never runs
        return no_thread("the interpreter has ended")
    if not _loop_is_running():
        return run_loop(main())
    ended: Future[A] = Future()

    def run() -> None:
        try:
            ended.set_result(run_loop(main()))
        except BaseException as exc:  # noqa: BLE001  # raised again by whoever waits
            ended.set_exception(exc)

    try:
        start_daemon(run)
    except OSError as exc:  # at the limit of processes, or while the interpreter exits
        return no_thread(words(exc))
    return ended.result()


async def each(
    items: Iterable[A], step: Callable[[A], Awaitable[B]], *, concurrency: int
) -> list[B]:
    """Await *step* for each item, at most *concurrency* at a time; return the results in order.

    *items* is drawn from only as fast as they are done with. What it raises is raised once the steps
    that have begun are done.
    """
    if concurrency < 1:
        raise ValueError("concurrency must be at least 1")
    waiting = enumerate(items)
    done: dict[int, B] = {}
    raised: list[Exception] = []

    async def draw() -> None:
        while not raised:
            try:
                place, item = next(waiting)
            except StopIteration:
                return
            except Exception as exc:  # noqa: BLE001  # raised below: what is under way goes on
                raised.append(exc)
                return
            done[place] = await step(item)

    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(draw())
    if raised:
        raise raised[0]
    return [done[place] for place in range(len(done))]


def preview(event: AnyEvent) -> Result[Preview, Problem]:
    """Return what `emit` would send, byte by byte; nothing is opened, and nothing is sent.

    Fails with `NotJson`, `Malformed` or `Invalid`, and with `Unreachable` for what is too long.
    """
    return (
        _body(event)
        .bind(parse)
        .bind(partial(validate, received_ns=now_ns()))
        .bind(partial(preflight, in_server=False))
        .bind(encode_order)
        .bind(partial(preview_parcel, network=Network()))
    )


def encode(event: AnyEvent) -> Result[bytes, Problem]:
    """Return the bytes that the event's encoder makes; the event needs no sink, and nothing is sent.

    Fails with `NotJson`, `Malformed` or `Invalid`.
    """
    return (
        _body(event)
        .bind(parse)
        .map(lambda document: {"sink": _ANY_SINK, **document})
        .bind(partial(validate, received_ns=now_ns()))
        .bind(encode_order)
        .map(lambda encoded: encoded.payload.body)
    )
