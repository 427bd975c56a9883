"""From a destination as it is written to the addresses to connect to: looked up once, and judged."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final

from returns.result import Failure, Result, Success

from sonda.pipeline.net.look_up_threads import LOOK_UP_THREADS
from sonda.pipeline.net.look_ups import LookUps
from sonda.pipeline.observer import NOBODY, Observer
from sonda.pipeline.problems import Forbidden, Problem
from sonda.pipeline.values.addresses import Address, literal

if TYPE_CHECKING:
    from aiohappyeyeballs import AddrInfoType

    from sonda.pipeline.policy.destinations import Ip, Policy

_REMEMBERED: Final = 1024


class DestinationNotAllowed(Exception):  # noqa: N818  # no error of the program: the operator's rule
    """A destination that callers of the server may not reach."""

    def __init__(self, problem: Forbidden) -> None:
        super().__init__(str(problem))
        self.problem = problem


async def resolve(host: str, port: int, kind: socket.SocketKind) -> Sequence[AddrInfoType]:
    """Look a host up; raises `OSError` with the resolver's reason."""
    look_up: Callable[..., Any] = partial(socket.getaddrinfo, host, port, type=kind)
    found: Sequence[AddrInfoType]
    try:
        try:
            found = look_up(flags=socket.AI_NUMERICHOST)  # an address in any spelling: asks nobody
        except OSError:
            key = (socket.getaddrinfo, host, port, kind)  # the first is another one in a test
            found = await LOOK_UP_THREADS.find(key, look_up)
    except UnicodeError:  # a label of more than 63 characters
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known") from None
    return found


class Resolver:
    """What every sink that connects to something asks first; without a *policy* all is allowed.

    The *observer* is to be told of each connection that comes of it.
    """

    def __init__(self, policy: Policy | None, observer: Observer = NOBODY) -> None:
        self._policy = policy
        self.observer = observer
        self._judged: dict[tuple[str, Address], Forbidden | None] = {}
        self._look_ups = LookUps(lambda *asked: resolve(*asked))  # noqa: PLW0108  # looked up when called

    def permit(self, sink: str, target: Address) -> Result[Address, Problem]:
        """Let a destination pass, as far as that can be told without a look-up; else `Forbidden`."""
        if self._policy is None:
            return Success(target)
        key = (sink, target)
        try:
            problem = self._judged[key]
        except KeyError:
            if len(self._judged) >= _REMEMBERED:
                self._judged.clear()
            self._judged[key] = problem = self._policy.judge_written(sink, target)
        return Success(target) if problem is None else Failure(problem)

    async def find(
        self, sink: str, target: Address, kind: socket.SocketKind
    ) -> Sequence[AddrInfoType]:
        """Return the addresses to connect to: nobody may look the name up once more.

        Raise `DestinationNotAllowed` if any of them is, and `OSError` with the resolver's reason.
        """
        if self._policy is None:
            return await self._look_up(target, kind)
        problem = self._policy.judge_written(sink, target)
        if problem is None:
            found = await self._look_up(target, kind)
            judged = (self._policy.judge(sink, target, _ip(each)) for each in found)
            problem = next(filter(None, judged), None)
        if problem is not None:
            raise DestinationNotAllowed(problem)
        return found

    async def _look_up(self, target: Address, kind: socket.SocketKind) -> Sequence[AddrInfoType]:
        if literal(target.host) is not None:
            return await resolve(*target, kind)  # asks nobody
        return await self._look_ups.find(*target, kind)

    async def aclose(self) -> None:
        """Abandon the look-ups that are under way."""
        await self._look_ups.aclose()


def _ip(found: AddrInfoType) -> Ip:
    return ip_address(found[4][0])


def listening_on(listening: Iterable[Address]) -> Callable[[Ip, int], bool]:
    """Make the test whether an address is one of a server's own, given what it listens on."""
    from sonda.pipeline.policy.destinations import plain

    own = {
        (plain(ip), address.port)
        for address in listening
        if (ip := literal(address.host)) is not None  # a socket's own words are no name
    }
    anywhere = {port for ip, port in own if ip.is_unspecified}

    def is_own(ip: Ip, port: int) -> bool:
        return (ip, port) in own or (port in anywhere and _is_of_this_machine(ip))

    return is_own


def _is_of_this_machine(ip: Ip) -> bool:
    """Ask the routes: to itself a machine speaks from the very address; nothing is sent."""
    if ip.is_loopback:
        return True
    family = socket.AF_INET if ip.version == 4 else socket.AF_INET6  # noqa: PLR2004  # IPv4
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((str(ip), 9))
            return ip_address(probe.getsockname()[0]) == ip
    except OSError:  # no route, or no such family
        return False
