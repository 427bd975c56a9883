"""Writes to the process's standard output, or to what stands in for it, as in a notebook.

Lines stay whole: the events of one process take turns, and so do the workers of a server.

**Confirmed:** HANDED_OFF once it is written whole and flushed to the operating system; whoever
reads the other end of a pipe has not answered.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, TextIO

from returns.result import Failure, Result, Success

from sonda.pipeline.model import Acknowledged, Confirmed
from sonda.pipeline.problems import OutcomeUnknown, Unreachable
from sonda.pipeline.sinks import Sink
from sonda.pipeline.transport.lines import Job, Verdict, line_up
from sonda.pipeline.transport.sockets import words
from sonda.pipeline.transport.writes import claim, pause, wait_for_room, write_whole

if TYPE_CHECKING:
    from sonda.pipeline.deadline import Deadline
    from sonda.pipeline.model import Payload, Pending
    from sonda.pipeline.problems import Problem
    from sonda.pipeline.transport import Transport

_TARGET: Final = "stdout"
_WRITTEN: Final = Acknowledged(Confirmed.HANDED_OFF)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stdout:
    """Write to standard output; there is nothing to set."""


async def push(
    payload: Payload, options: Stdout, transport: Transport, deadline: Deadline
) -> Result[Pending, Problem]:
    """Line the event up behind the others; fails with `Unreachable` or `OutcomeUnknown`."""
    stream = sys.stdout
    if stream is None or getattr(stream, "closed", False):
        return Failure(Unreachable(f"write to {_TARGET}", os.strerror(errno.EBADF)))
    if stream is not sys.__stdout__:
        return _print(payload, stream)
    job = Job(
        options,
        partial(_write, payload.body, stream),
        target=_TARGET,
        time_ns=payload.event.time_ns,
    )
    line_up(job)
    return Success(partial(job.verdict, deadline))


def _print(payload: Payload, stream: TextIO) -> Result[Pending, Problem]:
    """Write to a stand-in, in the caller's thread: a notebook shows it below the cell that runs."""
    try:
        stream.write(payload.body.decode())
        stream.flush()
    except ValueError as exc:  # an encoding that lacks a character
        return Failure(Unreachable(f"write to {_TARGET}", str(exc)))
    except OSError as exc:  # its buffer may have kept the event for the next flush
        return Failure(OutcomeUnknown(_TARGET, f"({words(exc)})", payload.event.time_ns))
    return Success(_written)


async def _written() -> Verdict:
    return Success(_WRITTEN)


def _write(body: bytes, stream: TextIO, job: Job) -> Verdict:
    """Write to the descriptor, after what the program itself has printed."""
    try:
        fd = stream.fileno()
        while not claim(fcntl.lockf, fd):  # flock would not keep workers apart that inherited it
            pause(job)
        try:
            _flush(stream, fd, job)
            write_whole(fd, body, job)
        finally:
            with suppress(OSError):
                fcntl.lockf(fd, fcntl.LOCK_UN)
    except ValueError:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF)) from None  # closed meanwhile
    return Success(_WRITTEN)


def _flush(stream: TextIO, fd: int, job: Job) -> None:
    while True:
        wait_for_room(fd, job)
        with suppress(BlockingIOError):
            return stream.flush()


SINK: Final = Sink(Stdout, push, ends_with_lf=lambda _: True)
