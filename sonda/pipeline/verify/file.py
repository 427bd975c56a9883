"""Files: the bytes at the offset where they were written."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sonda.pipeline.net.files import locate
from sonda.pipeline.net.sockets import words
from sonda.pipeline.net.threads import in_thread
from sonda.pipeline.net.unix import NO_FOLLOW, TO_READ, read_at
from sonda.pipeline.verify.judging import NOT_SEEN, SEEN, Different, QueryRefused, Verdict

if TYPE_CHECKING:
    from sonda.pipeline.deadline import Deadline
    from sonda.pipeline.model import EncodedEvent, Receipt
    from sonda.pipeline.net import Network
    from sonda.pipeline.verify import Look


def look_for(event: EncodedEvent, receipt: Receipt, network: Network, deadline: Deadline) -> Look:  # noqa: ARG001  # not needed here
    """Return what reads the bytes at the event's offset."""
    path = locate(event.validated.sink.options.path, network.access_policy)
    sent = event.payload.body

    async def look() -> Verdict:
        if receipt.offset is None:
            return QueryRefused("it is no regular file", is_final=True)
        try:
            return judge(await in_thread(partial(_read, path, receipt.offset, len(sent))), sent)
        except OSError as exc:
            return QueryRefused(words(exc))

    return look


def _read(path: Path, offset: int, size: int) -> bytes:
    fd = os.open(path, TO_READ | NO_FOLLOW)
    try:
        return read_at(fd, size, offset)
    finally:
        os.close(fd)


def judge(found: bytes, sent: bytes) -> Verdict:
    """Return what the bytes *found* at the event's offset prove of those that were *sent*.

    Nothing there means that the file was replaced or truncated meanwhile.
    """
    if found == sent:
        return SEEN
    if not found:
        return NOT_SEEN
    return Different(sent.decode(errors="replace"), found.decode(errors="replace"), "offset")
