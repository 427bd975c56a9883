"""Appends to a file, which is opened anew for each event: log rotation works at any time.

Lines stay whole: the events of one process take turns, and processes wait for each other's `flock`.

**Confirmed:** ACCEPTED once it is written whole and flushed to the operating system; with `fsync`
STORED, once the file and its folder's entry are on durable storage.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

from returns.result import Result, Success

from sonda.pipeline.deadline import Deadline
from sonda.pipeline.model import Acknowledged, Confirmed, Payload, Pending
from sonda.pipeline.problems import Problem
from sonda.pipeline.quoting import quote
from sonda.pipeline.sinks import Sink
from sonda.pipeline.transport import Confinement, Transport
from sonda.pipeline.transport.files import locate, open_locked
from sonda.pipeline.transport.lines import Job, Verdict, line_up
from sonda.pipeline.transport.writes import write_whole


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """Append to *path*; *fsync* waits for durable storage."""

    path: str
    fsync: bool = False


async def push(
    payload: Payload, options: File, transport: Transport, deadline: Deadline
) -> Result[Pending, Problem]:
    """Line the event up behind those for the same path.

    Its verdict may be `Forbidden`, `Unreachable`, or `OutcomeUnknown` for a torn line that could
    not be cut back.
    """
    job = Job(
        locate(options.path, transport.confinement),
        partial(_append, payload.body, options, transport.confinement),
        target=quote(options.path),
        time_ns=payload.event.time_ns,
    )
    line_up(job)
    return Success(partial(job.verdict, deadline))


def _append(body: bytes, options: File, confinement: Confinement | None, job: Job) -> Verdict:
    opened = open_locked(options.path, confinement, job, fsync=options.fsync)
    return opened.map(partial(_write, body, options, job))


def _write(body: bytes, options: File, job: Job, fd: int) -> Acknowledged:
    try:
        write_whole(fd, body, job, fsync=options.fsync)
    finally:
        with suppress(OSError):  # all is flushed by now: it has nothing to say about the event
            os.close(fd)
    return Acknowledged(Confirmed.STORED if options.fsync else Confirmed.ACCEPTED)


SINK: Final = Sink(File, push, ends_with_lf=lambda _: True)
