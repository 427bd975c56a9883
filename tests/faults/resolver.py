"""A resolver that knows nothing, is slow, or hangs; the names of other hosts it leaves alone."""

from __future__ import annotations

import socket
import threading
import time
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

import pytest

from .faults import HANGING, NOWHERE, SLOW

_look_up: Final = socket.getaddrinfo


@dataclass(eq=False)  # the resolver in force is part of what is looked up
class Resolver:
    """Counts how often one of its names was looked up."""

    random: Random
    fired: int = 0
    is_over: threading.Event = field(default_factory=threading.Event)

    def __call__(self, host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        """Look up as `socket.getaddrinfo` does."""
        flags = kwargs.get("flags", 0)
        if host not in (NOWHERE, SLOW, HANGING) or flags & socket.AI_NUMERICHOST:
            return _look_up(host, port, *args, **kwargs)
        if not self.is_over.is_set():
            self.fired += 1
            if host == NOWHERE:
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
            if host == HANGING:
                self.is_over.wait(600)  # as long as anybody may wait; who asks then gets its answer
                return _look_up("127.0.0.1", port, *args, **kwargs)
            time.sleep(self.random.uniform(0.02, 0.2))
        return _look_up("127.0.0.1", port, *args, **kwargs)


def install(monkeypatch: pytest.MonkeyPatch, random: Random) -> Resolver:
    """Put it in the place of the system's."""
    resolver = Resolver(random)
    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    return resolver
