"""A run whose destination fails in turn: what it has is what the ledger says, or may be."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from sonda.scenarios import load_scenario, run_scenario
from tests.support.faulty import Peer, Script, faulty

COUNT = 300
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
BLOCKED = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"
ANSWERS = {
    "taken": (NO_CONTENT, True),
    "taken, and no answer": (b"", True),
    "taken, and torn": (NO_CONTENT[:9], True),
    "refused": (BLOCKED, False),
    "not taken, and no answer": (b"", False),
}


@pytest.mark.parametrize("first", ANSWERS)
@pytest.mark.parametrize("then", ["taken", "refused"])
def test_what_has_arrived(first: str, then: str) -> None:
    """Delivered is at most what has arrived, and that at most delivered and unknown; none twice."""
    arrived: list[str] = []

    def answering(name: str) -> Script:
        answer, takes = ANSWERS[name]

        def script(peer: Peer) -> None:
            while (request := peer.request()) is not None:
                if takes:
                    streams = json.loads(request.body)["streams"]
                    arrived.extend(line for stream in streams for _, line in stream["values"])
                peer.send(answer)
                if answer in (b"", NO_CONTENT[:9]):
                    return

        return script

    with faulty(answering(first), answering(then)) as server:
        document = {
            "name": "run",
            "signal_type": "logs",
            "rate": 100,
            "count": COUNT,
            "pace": "max",
            "log_generator": {"type": "template", "templates": ["m{tick}"]},
            "sink": {"type": "loki", "url": f"http://{server.address}", "batch_size": 50},
        }
        ledger = run_scenario(load_scenario(document).unwrap()).unwrap().ledger
    assert ledger.delivered + ledger.rejected + ledger.unknown == COUNT
    assert ledger.delivered <= len(arrived) <= ledger.delivered + ledger.unknown
    assert max(Counter(arrived).values(), default=1) == 1
