"""Puts a guard on duty in a server that is fuzzed: Python imports a module of this name first."""

from __future__ import annotations

import os
from pathlib import Path

from tests.fuzz.guard import Guard, on_duty_from_now

_PORTS = [int(port) for port in os.environ["FUZZ_PORTS"].split(",")]
on_duty_from_now(
    Guard(_PORTS, Path(os.environ["FUZZ_FOLDER"]), Path(os.environ["TMPDIR"]), binds=True)
)
