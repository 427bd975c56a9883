"""How bytes travel: the connections a pipeline keeps, and the limits of what it may touch."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from sonda.pipeline.policy import Policy
from sonda.pipeline.transport.destinations import Destinations
from sonda.pipeline.transport.streams import Streams
from sonda.pipeline.transport.tls import TlsContexts

if TYPE_CHECKING:
    import httpx


@dataclass(frozen=True, slots=True)
class Confinement:
    """What a server's callers may touch: files below these folders, and what the policy allows.

    Only regular files, whatever the folders.
    """

    file_root: Path
    tls_root: Path
    policy: Policy = field(default_factory=Policy)


class Transport:
    """What sinks share: opened with the pipeline, closed with it."""

    def __init__(self, confinement: Confinement | None = None) -> None:
        self.confinement = confinement
        self.destinations = Destinations(confinement.policy if confinement else None)
        self.streams = Streams(self.destinations)
        self.tls = TlsContexts(confinement)

    @cached_property
    def http(self) -> httpx.AsyncBaseTransport:
        """What carries HTTP requests; a test may put `httpx.MockTransport` in its place."""
        from sonda.pipeline.transport.http import HttpTransport  # httpx costs 0.1 s to import

        return HttpTransport(self.streams)

    async def aclose(self) -> None:
        """Close every kept connection."""
        await self.streams.aclose()
