"""Events through a real pipe."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from select import PIPE_BUF

from tests.support.bodies import LOG, changed

from .ledger import Ledger
from .sending import post
from .stdout import piped

COUNT = 1000
PIPE_BYTES = 65_536


def message(number: int) -> str:
    """Make a message that is recognised when it is torn, of a size between little and a lot."""
    size = PIPE_BYTES + number if number % 50 == 0 else number * 37 % (3 * PIPE_BUF)
    return f"{number}:" + chr(ord("a") + number % 26) * size + f":{number}"


def test_every_event_comes_whole_through_a_pipe(landed: Ledger, tmp_path: Path) -> None:
    """Of many events at once, also such as no pipe can hold, each is one line, whole."""
    messages = [message(number) for number in range(COUNT)]
    bodies = [changed(LOG, log__message=text, sink={"type": "stdout"}) for text in messages]
    with piped(tmp_path) as pipe, ThreadPoolExecutor(16) as senders:
        answers = list(senders.map(partial(post, pipe.url), bodies))
        found = [json.loads(line)["message"] for line in pipe.finish().splitlines()]
    assert {(status, answer["sent"]) for status, answer in answers} == {(200, True)}
    landed.record("stdout pipe", sent=COUNT, found=len(found))
    assert sorted(found) == sorted(messages)
