"""How bytes travel: the connections a pipeline keeps, and the limits of what it may touch."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Hashable, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar
from weakref import WeakValueDictionary

from msgspec import Struct, field

from sonda.pipeline.net.pool import ConnectionPool
from sonda.pipeline.net.resolve import Resolver
from sonda.pipeline.observer import NOBODY, Observer

if TYPE_CHECKING:
    from sonda.pipeline.model import PluginRef
    from sonda.pipeline.net.http1 import HttpTransport
    from sonda.pipeline.net.proxies import Proxies
    from sonda.pipeline.net.tls import TlsContexts
    from sonda.pipeline.policy.destinations import Policy


KEPT_DESTINATIONS: Final = 256
_LOOKED_AT: Final = 8  # for room: to look at all, where thousands are busy, takes seconds in sum

D = TypeVar("D")


class _Closable(Protocol):
    async def aclose(self) -> None: ...


R = TypeVar("R", bound=_Closable)


def _default_policy() -> Policy:
    from sonda.pipeline.policy.destinations import Policy  # only a server has one

    return Policy()


class AccessPolicy(Struct, frozen=True):
    """What a server's callers may touch: files below these folders, and what the policy allows.

    Only regular files, whatever the folders; never one of *protected*, nor what lies in one that is
    a folder: the server's own state, configuration and secrets.
    """

    file_root: Path
    tls_root: Path
    policy: Policy = field(default_factory=_default_policy)
    protected: Callable[[], Sequence[Path]] = tuple

    def protects(self, real: Path) -> bool:
        """Return whether a path without symbolic links leads to something of the server's own.

        Another name of the same file (a hard link) does, too. May block, as the file system may.
        """
        return any(
            real.is_relative_to(os.path.realpath(path)) or _is_same_file(real, path)
            for path in self.protected()
        )


def _is_same_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except (OSError, ValueError):
        return False


class Network:
    """What sinks share: opened with the pipeline, closed with it."""

    def __init__(
        self,
        access_policy: AccessPolicy | None = None,
        observer: Observer = NOBODY,
        proxies: Proxies | None = None,
    ) -> None:
        self.proxies = proxies
        self.access_policy = access_policy
        self.resolver = Resolver(access_policy.policy if access_policy else None, observer)
        self.pool = ConnectionPool(self.resolver)
        self.kept: dict[Hashable, Any] = {}  # what sinks have opened, by their options' value
        self._common: WeakValueDictionary[Hashable, Any] = WeakValueDictionary()
        self._shared: dict[Callable[[Network], Any], Any] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def opened(self, sink: PluginRef) -> Any:
        """Return what a sink has opened with its options, opened now if there is nothing yet.

        A sink that opens nothing has its options as they are. Of more than `KEPT_DESTINATIONS`
        those that were opened first are dropped, unless they are busy: dropping one that has events
        under way would give the next event another one beside it.
        """
        found = self.kept.get(sink.key)
        if found is None:
            opens = sink.plugin.open
            found = sink.options if opens is None else opens(sink.options, self)
            if len(self.kept) >= KEPT_DESTINATIONS:
                self._drop_some()
            self.kept[sink.key] = found
        return found

    def common(self, key: Hashable, make: Callable[[], D]) -> D:
        """Return what those who hold it have in common, made now if nobody holds it.

        Unlike what is kept, it is there as long as any of them is, however many others there are.
        """
        found = self._common.get(key)
        if found is None:
            found = self._common[key] = make()
        made: D = found
        return made

    def _drop_some(self) -> None:
        """Drop the oldest that are not busy until there is room; look at a few, and take turns."""
        for key in list(islice(self.kept, _LOOKED_AT)):
            if len(self.kept) < KEPT_DESTINATIONS:
                return
            kept = self.kept.pop(key)
            if getattr(kept, "is_busy", False):
                self.kept[key] = kept

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do *work* beside the events' own tasks, until the network is closed."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    @cached_property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that it serves: before Python 3.12 each question is a system call."""
        return asyncio.get_running_loop()

    @cached_property
    def tls(self) -> TlsContexts:
        """What reads TLS files and keeps their contexts."""
        from sonda.pipeline.net.tls import TlsContexts

        return TlsContexts(self.access_policy)

    @cached_property
    def http(self) -> HttpTransport:
        """What carries HTTP requests; a test may put one of its own in its place."""
        from sonda.pipeline.net.http1 import HttpTransport  # httpx costs 0.1 s to import

        return HttpTransport(self.pool, self.proxies, self.start)

    def shared(self, kind: Callable[[Network], R]) -> R:
        """Return the one *kind* of this network, which is made when it is first asked for.

        It is closed with the network. This is how sinks keep what is theirs alone.
        """
        if kind not in self._shared:
            self._shared[kind] = kind(self)
        made: R = self._shared[kind]
        return made

    async def aclose(self) -> None:
        """End what is still under way, and close every kept connection."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for kept in self._shared.values():
            await kept.aclose()
        await self.pool.aclose()
        await self.resolver.aclose()
