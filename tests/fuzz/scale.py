"""How much is fuzzed: little with every test run, more by `make test-all`, most by `make fuzz`.

Each run of `make test-all` and `make fuzz` has another seed, so that many runs see many inputs.
"""

from __future__ import annotations

import os
from typing import Final, NamedTuple


class Scale(NamedTuple):
    """How many of each are made."""

    stage_inputs: int
    requests: int
    connections: int


SCALES: Final = {
    "": Scale(stage_inputs=10_000, requests=1_000, connections=400),
    "some": Scale(stage_inputs=150_000, requests=5_000, connections=1_000),
    "full": Scale(stage_inputs=1_000_000, requests=20_000, connections=4_000),
}
SCALE: Final = SCALES[os.environ.get("FUZZ", "")]
