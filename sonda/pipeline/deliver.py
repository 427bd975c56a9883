"""The line itself: parse, validate, preflight, encode, push, flush."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from operator import attrgetter
from time import perf_counter_ns
from types import TracebackType
from typing import Any, Final, Self

from returns.result import Result, Success

from sonda.pipeline import encoders, sinks
from sonda.pipeline.clock import unique_clock
from sonda.pipeline.course import COURSE
from sonda.pipeline.events import AnyEvent, to_json
from sonda.pipeline.model import Order, Receipt
from sonda.pipeline.problems import Problem
from sonda.pipeline.result import fold, then
from sonda.pipeline.schemas import PLUGINS, Kind, fast_validator, validator
from sonda.pipeline.stages.encode import encode
from sonda.pipeline.stages.flush import flush
from sonda.pipeline.stages.parse import parse
from sonda.pipeline.stages.preflight import preflight
from sonda.pipeline.stages.push import push
from sonda.pipeline.stages.validate import validate
from sonda.pipeline.transport import Confinement, Transport
from sonda.pipeline.transport.observer import NOBODY, Observer

_LOG: Final = logging.getLogger("sonda")
_WARNINGS: Final[Callable[[Order | Receipt], tuple[str, ...]]] = attrgetter("warnings")
now_ns = unique_clock()  # one for the process: two pipelines must not give the same nanosecond


def load_built_in() -> None:
    """Load every plug-in that needs no extra, so that a server's first event waits for no import."""
    fast_validator()
    validator()
    packages: Mapping[Kind, Any] = {"encoder": encoders, "sink": sinks}
    for kind, package in packages.items():
        for name in (name for name, schema in PLUGINS[kind].items() if "x-extra" not in schema):
            fast_validator(kind, name)
            validator(kind, name)
            package.load(name)


class Pipeline:
    """The line from bytes to a receipt, and the connections it keeps.

    Use it as an async context manager; it serves any number of events at once. A server confines
    it and says that it is one (*in_server*); a library's pipeline may touch what its user may.
    """

    def __init__(
        self,
        *,
        confinement: Confinement | None = None,
        in_server: bool = False,
        observer: Observer = NOBODY,
    ) -> None:
        self._transport = Transport(confinement, observer)
        self._in_server = in_server
        self._preflight = partial(preflight, in_server=in_server)

    async def __aenter__(self) -> Self:
        if self._in_server:
            load_built_in()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._transport.aclose()

    async def emit(self, event: AnyEvent) -> Result[Receipt, Problem]:
        """Deliver one event, typed or as the mapping that the HTTP body would be."""
        return await then(to_json(event), self.deliver)

    async def deliver(
        self, raw: bytes, *, until_s: float | None = None
    ) -> Result[Receipt, Problem]:
        """Deliver one event; succeed only once the destination has confirmed it.

        *raw* is the JSON body; *until_s*, on the event loop's clock, cuts the sink's own timeout.
        Fails with any `Problem`; nothing was sent unless it is `Refused` or `OutcomeUnknown`.
        """
        received_ns = now_ns()
        course = COURSE.get()
        document = parse(raw)
        validated = document.bind(partial(validate, received_ns=received_ns))
        order = validated.bind(self._preflight)
        if course is not None:
            course.prepare(document, order)
        began_ns = perf_counter_ns()
        pushing = partial(push, transport=self._transport, until_s=until_s)
        parcel = order.bind(encode)
        if course is not None and isinstance(parcel, Success):
            course.encode()
        pushed = await then(parcel, pushing)  # the first I/O
        receipt = await then(pushed, partial(flush, began_ns=began_ns))  # waits for the yes
        if course is not None:
            course.end(receipt)
        if self._in_server:
            for warning in fold(receipt, _WARNINGS, lambda _: fold(order, _WARNINGS, _none)):
                _LOG.warning("%s", warning)
        return receipt


def _none(_: Problem) -> tuple[str, ...]:
    return ()
