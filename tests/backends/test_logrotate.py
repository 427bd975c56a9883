"""The `file` sink under a real logrotate: whatever was acknowledged is in one of the files."""

from __future__ import annotations

import asyncio
import json
from itertools import chain
from pathlib import Path

import pytest

import sonda
from tests.support.bodies import LOG, changed

from .ledger import Ledger
from .logrotate import Logrotate, Way

ROTATIONS = 25
SENDERS = 8


@pytest.mark.parametrize("way", ["nocreate", "create", "copytruncate"])
def test_no_event_is_lost_or_torn(
    logrotate: Logrotate, landed: Ledger, tmp_path: Path, way: Way
) -> None:
    """Events that are sent while the log is rotated are all there, each of them whole."""
    log = tmp_path / "events.log"

    async def send(pipeline: sonda.Pipeline, sender: int, until: asyncio.Future[None]) -> list[str]:
        sent: list[str] = []
        while not (sent and until.done()):
            text = f"{sender}-{len(sent)}:" + "x" * (len(sent) * 37 % 9000)
            body = changed(LOG, log__message=text, sink={"type": "file", "path": str(log)})
            (await pipeline.emit(body)).unwrap()
            sent.append(text)
        return sent

    def rotate() -> None:
        for _ in range(ROTATIONS):
            logrotate.rotate(log, way, keep=ROTATIONS)

    async def both() -> list[str]:
        async with sonda.Pipeline() as pipeline:
            rotating = asyncio.ensure_future(asyncio.to_thread(rotate))
            senders = (send(pipeline, sender, rotating) for sender in range(SENDERS))
            sent = await asyncio.gather(*senders)
            await rotating
            return list(chain.from_iterable(sent))

    sent = asyncio.run(both())
    files = list(tmp_path.glob("events.log*"))
    found = [
        json.loads(line)["message"] for file in files for line in file.read_bytes().splitlines()
    ]
    landed.record("file rotation", sent=len(sent), found=len(found))
    assert len(files) > ROTATIONS // 2  # where no event was there yet, it had nothing to do
    assert sorted(found) == sorted(sent)
