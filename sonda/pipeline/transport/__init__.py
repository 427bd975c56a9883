"""How bytes travel: the connections a pipeline keeps, and the limits of what it may touch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from sonda.pipeline.transport.streams import Streams
from sonda.pipeline.transport.tls import TlsContexts

if TYPE_CHECKING:
    import httpx

    from sonda.pipeline.transport.kafka import Clusters


@dataclass(frozen=True, slots=True)
class Confinement:
    """Where a server may read and write files: below these folders, and only regular ones."""

    file_root: Path
    tls_root: Path


class Transport:
    """What sinks share: opened with the pipeline, closed with it."""

    def __init__(self, confinement: Confinement | None = None) -> None:
        self.confinement = confinement
        self.streams = Streams()
        self.tls = TlsContexts(confinement)

    @cached_property
    def http(self) -> httpx.AsyncBaseTransport:
        """What carries HTTP requests; a test may put `httpx.MockTransport` in its place."""
        from sonda.pipeline.transport.http import HttpTransport  # httpx costs 0.1 s to import

        return HttpTransport(self.streams)

    @cached_property
    def kafka(self) -> Clusters:
        """The Kafka clusters in use."""
        from sonda.pipeline.transport.kafka import Clusters  # aiokafka is an extra

        return Clusters()

    async def aclose(self) -> None:
        """Close every kept connection."""
        await self.streams.aclose()
        if "kafka" in self.__dict__:
            await self.kafka.aclose()
