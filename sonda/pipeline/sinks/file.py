"""Appends to a file, which is opened anew for each write: log rotation works at any time.

Events that come while another write is under way share the next one, with one `fsync` for all.
Lines stay whole: the writes of one process take turns, and processes wait for each other's `flock`.

**Confirmed:** ACCEPTED once it is written whole and flushed to the operating system; with `fsync`
STORED, once the file and its folder's entry are on durable storage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from returns.result import Failure, Result, Success

from sonda.pipeline.deadline import Deadline
from sonda.pipeline.model import Confirmed, Payload, Pending
from sonda.pipeline.net import AccessPolicy, Network
from sonda.pipeline.net.blocking_writers import enqueue
from sonda.pipeline.net.files import FilePath, open_locked, permit, release
from sonda.pipeline.net.write_groups import write_many
from sonda.pipeline.net.write_requests import Verdict, WriteRequest
from sonda.pipeline.net.writes import WriteBatch, write
from sonda.pipeline.pieces import pieces_of_lines
from sonda.pipeline.problems import Problem
from sonda.pipeline.sinks import LINE, Sink
from sonda.pipeline.text.escape import quote
from sonda.pipeline.wire_preview import WirePreview


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """Append to *path*; *fsync* waits for durable storage."""

    path: str
    fsync: bool = False


@dataclass(frozen=True, slots=True)
class _Append:
    """Append to one file: open it, write what has lined up, and close it."""

    options: File
    file: FilePath = field(compare=False)
    access_policy: AccessPolicy | None
    target: str
    needs_thread: bool = True  # to open a file may take long, as on a dead file server

    @property
    def confirmed(self) -> Confirmed:
        return Confirmed.STORED if self.options.fsync else Confirmed.ACCEPTED

    def write(self, batch: WriteBatch) -> Result[None, Problem]:
        opened = open_locked(self.file, batch, fsync=self.options.fsync)
        if not isinstance(opened, Success):
            return Failure(opened.failure())
        fd, status = opened.unwrap()
        try:
            write(fd, batch, status, fsync=self.options.fsync, is_own=True)
        finally:
            release(fd)
        return Success(None)


async def push(
    payload: Payload, writer: _Append, _network: Network, deadline: Deadline
) -> Result[Pending, Problem]:
    """Line the event up behind those for the same path.

    Its verdict may be `Forbidden`, `Unreachable`, or `OutcomeUnknown` for a torn line that could
    not be cut back.
    """
    request = WriteRequest(writer, payload.body, payload.event.time_ns)
    enqueue(request, writer.file.place)
    return Success(partial(request.verdict, deadline))


async def send_many(
    payloads: Sequence[Payload], writer: _Append, _network: Network, deadline: Deadline
) -> list[Verdict]:
    """Append a group in its order; each event's verdict is as that of `push`."""
    return await write_many(payloads, writer, writer.file.place, deadline)


def open_writer(options: File, network: Network) -> _Append:
    """Return the way to write to the file of these options, which is opened for each write."""
    access_policy = network.access_policy
    file = FilePath(options.path, access_policy)
    return _Append(options, file, access_policy, quote(options.path))


def describe(payload: Payload, options: File, network: Network) -> Result[WirePreview, Problem]:
    """Return what would be appended to which file; fail with `Forbidden`."""

    def departure(place: Path) -> WirePreview:
        return WirePreview(options.path, LINE, payload.body, {"path": str(place)})

    return permit(options.path, network.access_policy).map(departure)


SINK: Final = Sink(
    File,
    push,
    describe,
    ends_with_lf=lambda _: True,
    send_many=send_many,
    pieces=pieces_of_lines,
    open=open_writer,
)
