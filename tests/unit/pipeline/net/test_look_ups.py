"""Look-ups of names are shared, bounded, and withdrawn with the last who waits."""

from __future__ import annotations

import asyncio
import socket

import pytest

from sonda.pipeline.net import look_ups as module
from sonda.pipeline.net.look_ups import LOOK_UPS, Found, LookUps

FOUND: Found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 80))]


class Resolver:
    """A name server that answers when its gate is opened."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.gate = asyncio.Event()
        self.error: OSError | None = None

    async def resolve(self, host: str, _port: int, _kind: socket.SocketKind) -> Found:
        self.asked.append(host)
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return FOUND


async def turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_one_name_is_looked_up_once_at_a_time() -> None:
    """Events at once for one host take one thread."""

    async def main() -> None:
        resolver = Resolver()
        look_ups = LookUps(resolver.resolve)
        waiting = [
            asyncio.create_task(look_ups.find("a", 80, socket.SOCK_STREAM)) for _ in range(50)
        ]
        await turn()
        assert resolver.asked == ["a"]
        resolver.gate.set()
        assert await asyncio.gather(*waiting) == [FOUND] * 50
        assert await look_ups.find("a", 80, socket.SOCK_STREAM) == FOUND
        assert resolver.asked == ["a", "a"]

    asyncio.run(main())


def test_look_ups_are_bounded_whoever_has_given_up() -> None:
    """A name server that never answers costs so many threads, and no more."""

    async def main() -> None:
        resolver = Resolver()
        look_ups = LookUps(resolver.resolve)
        for number in range(3 * LOOK_UPS):
            waiting = asyncio.create_task(look_ups.find(f"h{number}", 80, socket.SOCK_STREAM))
            await turn()
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        assert resolver.asked == [f"h{number}" for number in range(LOOK_UPS)]
        assert len(look_ups._under_way) == LOOK_UPS
        last = asyncio.create_task(look_ups.find("last", 80, socket.SOCK_STREAM))
        resolver.gate.set()
        assert await last == FOUND
        await turn()
        assert not look_ups._under_way

    asyncio.run(main())


class Divided(Resolver):
    """A name server that answers for some names only."""

    def __init__(self, *answered: str) -> None:
        super().__init__()
        self.answered = answered

    async def resolve(self, host: str, port: int, kind: socket.SocketKind) -> Found:
        if host in self.answered:
            self.asked.append(host)
            return FOUND
        return await super().resolve(host, port, kind)


def hang(look_ups: LookUps, host: str, port: int) -> asyncio.Task[Found]:
    return asyncio.create_task(look_ups.find(host, port, socket.SOCK_STREAM))


def test_a_name_that_was_found_waits_for_none_that_hangs() -> None:
    """As many names as one likes that nobody answers for: others are found all the same."""

    async def main() -> None:
        resolver = Divided("localhost", "loki")
        look_ups = LookUps(resolver.resolve)
        assert await look_ups.find("loki", 80, socket.SOCK_STREAM) == FOUND
        waiting = [hang(look_ups, f"h{number}", 80) for number in range(2 * LOOK_UPS)]
        await turn()
        for host in ("loki", "localhost", "loki"):
            assert await look_ups.find(host, 3100, socket.SOCK_DGRAM) == FOUND
        first = hang(look_ups, "never-seen", 80)
        await turn()
        assert "never-seen" not in resolver.asked
        first.cancel()
        await look_ups.aclose()
        await asyncio.gather(*waiting, return_exceptions=True)

    asyncio.run(main())


def test_a_name_that_hangs_from_now_on_takes_a_few_turns() -> None:
    """Whatever ports it is asked for: the turns of names that were found are for others, too."""

    async def main() -> None:
        resolver = Divided("loki", "turns")
        look_ups = LookUps(resolver.resolve)
        for host in resolver.answered:
            await look_ups.find(host, 80, socket.SOCK_STREAM)
        resolver.answered = ("loki",)
        waiting = [hang(look_ups, "turns", port) for port in range(100)]
        await turn()
        assert resolver.asked.count("turns") == 1 + 4 + LOOK_UPS
        assert await look_ups.find("loki", 80, socket.SOCK_STREAM) == FOUND
        await look_ups.aclose()
        await asyncio.gather(*waiting, return_exceptions=True)

    asyncio.run(main())


def test_names_that_were_found_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that was asked for longest ago goes first."""
    monkeypatch.setattr(module, "_NAMES_REMEMBERED", 3)

    async def main() -> None:
        resolver = Divided("a", "b", "c", "d")
        look_ups = LookUps(resolver.resolve)
        for host in ("a", "b", "a", "c", "d"):
            await look_ups.find(host, 80, socket.SOCK_STREAM)
        assert list(look_ups._found) == ["a", "c", "d"]

    asyncio.run(main())


def test_a_failed_look_up_fails_for_all_who_wait() -> None:
    """The resolver's own reason comes through, and the next asks anew."""

    async def main() -> None:
        resolver = Resolver()
        resolver.error = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        resolver.gate.set()
        look_ups = LookUps(resolver.resolve)
        asking = [look_ups.find("a", 80, socket.SOCK_STREAM) for _ in range(3)]
        assert await asyncio.gather(*asking, return_exceptions=True) == [resolver.error] * 3
        await look_ups.aclose()

    asyncio.run(main())


def test_closing_gives_up_what_is_under_way() -> None:
    """Nothing is left behind that nobody waits for."""

    async def main() -> None:
        resolver = Resolver()
        look_ups = LookUps(resolver.resolve)
        waiting = asyncio.create_task(look_ups.find("a", 80, socket.SOCK_STREAM))
        await turn()
        await look_ups.aclose()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert not look_ups._under_way

    asyncio.run(main())
