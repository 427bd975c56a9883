"""How much is fuzzed: little with every test run, all of it by `make fuzz`."""

from __future__ import annotations

import os
from typing import Final

IS_FULL: Final = os.environ.get("FUZZ") == "full"
STAGE_INPUTS: Final = 1_000_000 if IS_FULL else 10_000
REQUESTS: Final = 20_000 if IS_FULL else 1_000
CONNECTIONS: Final = 4_000 if IS_FULL else 400
