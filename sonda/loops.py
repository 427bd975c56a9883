"""The event loop that library and command line run on where none is running."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

A = TypeVar("A")

LOOP: Final[Callable[[], asyncio.AbstractEventLoop] | None] = (
    asyncio.SelectorEventLoop if sys.platform == "win32" else None
)
"""What makes a new loop; Windows' own kind cannot tell when a socket has something to read."""


def run(main: Coroutine[Any, Any, A]) -> A:
    """Run a coroutine to its end on a new event loop."""
    with asyncio.Runner(loop_factory=LOOP) as runner:
        return runner.run(main)
