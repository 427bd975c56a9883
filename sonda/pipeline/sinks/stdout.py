"""Writes to the process's standard output, or to what stands in for it, as in a notebook.

Lines stay whole: the writes of one process take turns, and so do the workers of a server.

**Confirmed:** HANDED_OFF once it is written whole and flushed to the operating system; whoever
reads the other end of a pipe has not answered.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Final, TextIO

from returns.result import Failure, Result, Success

from sonda.pipeline.deadline import Deadline
from sonda.pipeline.model import Ack, Confirmed, Payload, Pending
from sonda.pipeline.net import Network
from sonda.pipeline.net.blocking_writers import enqueue
from sonda.pipeline.net.sockets import words
from sonda.pipeline.net.unix import lock_for_process, unlock_for_process
from sonda.pipeline.net.write_groups import write_many
from sonda.pipeline.net.write_requests import Verdict, WriteRequest
from sonda.pipeline.net.writes import WriteBatch, check_room, claim, pause, wait_for_room, write
from sonda.pipeline.pieces import pieces_of_lines
from sonda.pipeline.problems import OutcomeUnknown, Problem, Unreachable
from sonda.pipeline.sinks import LINE, Sink
from sonda.pipeline.wire_preview import WirePreview

_TARGET: Final = "stdout"
_ATTEMPT: Final = f"write to {_TARGET}"
_CLOSED: Final = Unreachable(_ATTEMPT, os.strerror(errno.EBADF), is_final=True)
_WRITTEN: Final = Ack(Confirmed.HANDED_OFF)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stdout:
    """Write to standard output; there is nothing to set."""


@dataclass(frozen=True, slots=True)
class _Write:
    """Write to the descriptor, after what the program itself has printed."""

    stream: TextIO
    fd: int
    target: str = _TARGET
    confirmed: Confirmed = Confirmed.HANDED_OFF
    needs_thread: bool = False

    def write(self, batch: WriteBatch) -> Result[None, Problem]:
        while not claim(
            lock_for_process, self.fd
        ):  # flock excludes no worker: they inherited one file
            pause(batch)
        try:
            status = os.fstat(self.fd)
            if not batch.may_wait:
                check_room(self.fd, status)
            _flush(self.stream, self.fd, batch)
            write(self.fd, batch, status)
        finally:
            with suppress(OSError):
                unlock_for_process(self.fd)
        return Success(None)


async def push(
    payload: Payload, options: Stdout, network: Network, deadline: Deadline
) -> Result[Pending, Problem]:
    """Line the event up behind the others; fails with `Unreachable` or `OutcomeUnknown`."""
    stream = _open_stream()
    if stream is None:
        return Failure(_CLOSED)
    fd = _descriptor(stream)
    if fd is None:
        return _print(payload, stream).map(_finished)
    request = WriteRequest(_writer(stream, fd), payload.body, payload.event.time_ns)
    enqueue(request, options)
    return Success(partial(request.verdict, deadline))


async def send_many(
    payloads: Sequence[Payload], options: Stdout, network: Network, deadline: Deadline
) -> list[Verdict]:
    """Write a group in its order; each event's verdict is as that of `push`."""
    stream = _open_stream()
    if stream is None:
        return [Failure(_CLOSED)] * len(payloads)
    fd = _descriptor(stream)
    if fd is None:
        return [_print(payload, stream) for payload in payloads]
    return await write_many(payloads, _writer(stream, fd), options, deadline)


def _open_stream() -> TextIO | None:
    """Return what stands for standard output now, unless it is closed."""
    return None if getattr(sys.stdout, "closed", False) else sys.stdout


_writer: Final = lru_cache(maxsize=1)(_Write)


def _descriptor(stream: TextIO) -> int | None:
    """Return the descriptor of the real standard output; `None` for what stands in for it."""
    if stream is not sys.__stdout__:
        return None  # a notebook's has one, but it is that of the terminal behind the notebook
    try:
        return stream.fileno()
    except io.UnsupportedOperation:
        return None


def _print(payload: Payload, stream: TextIO) -> Verdict:
    """Write to a stand-in, in the caller's thread: a notebook shows it below the cell that runs."""
    try:
        stream.write(payload.body.decode())
        stream.flush()
    except ValueError as exc:  # an encoding that lacks a character
        return Failure(Unreachable(_ATTEMPT, str(exc), is_final=True))
    except OSError as exc:  # its buffer may have kept the event for the next flush
        return Failure(OutcomeUnknown(_TARGET, f"({words(exc)})", payload.event.time_ns))
    return Success(_WRITTEN)


def _finished(ack: Ack) -> Pending:
    """Return what flush awaits for a write that is over."""

    async def verdict() -> Verdict:
        return Success(ack)

    return verdict


def _flush(stream: TextIO, fd: int, batch: WriteBatch) -> None:
    while True:
        if batch.may_wait:  # else there is room
            wait_for_room(fd, batch)
        try:
            return stream.flush()
        except BlockingIOError:
            continue  # somebody else was faster to fill the pipe
        except ValueError:  # closed meanwhile
            raise OSError(errno.EBADF, os.strerror(errno.EBADF)) from None


def describe(payload: Payload, options: Stdout, network: Network) -> Result[WirePreview, Problem]:
    """Return what would be written."""
    return Success(WirePreview(_TARGET, LINE, payload.body))


SINK: Final = Sink(
    Stdout,
    push,
    describe,
    ends_with_lf=lambda _: True,
    send_many=send_many,
    pieces=pieces_of_lines,
)
