"""`Idempotency-Key`: a request that is repeated with its key is worked once.

Spec: https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final, NamedTuple, Protocol, TypeAlias, TypeVar

from sonda.http_answers import Answer
from sonda.rejections import ShuttingDown
from sonda.resources.errors import RequestRejected

T = TypeVar("T")

REPLAYED: Final = {"Idempotent-Replayed": "true"}
_BARE: Final = re.compile(r"[ -~]{1,255}")
_QUOTED: Final = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\]){1,510})"')
_UNBOUND: Final = frozenset({*range(400, 500), HTTPStatus.SERVICE_UNAVAILABLE})
"""The answers to requests of which nothing was sent."""


class Worked(NamedTuple):
    """An answer, and for each event of its request whether it may be sent again with its time."""

    answer: Answer
    resend_safe: tuple[bool, ...]
    is_replayed: bool = False  # a part of it at least, for which nothing was sent this time


class EarlierRequest(NamedTuple):
    """What is known of an earlier request with the key.

    *time_ns* is its time of receipt. *answer* is `None` if the server died
    before it had one. If *is_cut_off*, there is an answer, but a server that later worked the
    request again died before it had a new one.
    """

    time_ns: int
    answer: Answer | None = None
    resend_safe: tuple[bool, ...] = ()
    is_cut_off: bool = False


class UnderWay(NamedTuple):
    """The first request with the key has no answer yet."""


class OtherRequest(NamedTuple):
    """The key belongs to another request."""


class Unstorable(NamedTuple):
    """The key cannot be kept; *reason* says why."""

    reason: str


Found: TypeAlias = EarlierRequest | UnderWay | OtherRequest | Unstorable | None


class KeyStore(Protocol):
    """Where keys are kept; none of its methods raises for what the disk or a user does."""

    async def begin(self, caller: str, key: str, fingerprint: bytes, time_ns: int) -> Found:
        """Take the key, and return what is known of an earlier request; `None` if there was none."""
        ...

    async def begin_again(self, caller: str, key: str) -> bool:
        """Take a key whose request was answered; return whether nobody was faster."""
        ...

    async def finish(self, caller: str, key: str, worked: Worked) -> None:
        """Keep the answer; where that cannot be done, the key is that of a server that died."""
        ...

    async def abandon(self, caller: str, key: str) -> None:
        """Let the key be that of a server that died."""
        ...

    async def forget(self, caller: str, key: str) -> None:
        """Let go of a key whose request was not worked."""
        ...

    async def drain(self) -> None:
        """Wait until no key is under way, for a second at the most."""
        ...

    def close(self) -> None:
        """Finish what was begun."""
        ...


def parse_key(header: str) -> str | None:
    """Return the key of the header's value, bare or as a quoted string; `None` if it is none."""
    text = header.strip(" \t")
    if text.startswith('"'):
        quoted = _QUOTED.fullmatch(text)
        text = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else ""
    return text if _BARE.fullmatch(text) else None


def fingerprint(raw: bytes, media_type: str, query: str) -> bytes:
    """Return what tells one request from another: its bytes, media type and query parameters."""
    digest = hashlib.sha256(f"{media_type}\n{query}\n".encode())
    digest.update(raw)
    return digest.digest()


class ClosesKeys:
    """Falcon middleware that finishes what is being kept when the server ends."""

    def __init__(self, store: KeyStore) -> None:
        self._store = store

    async def process_shutdown(self, _scope: object, _event: object) -> None:
        """Close the store, once the requests that were cut off have kept their answers."""
        await self._store.drain()
        self._store.close()


class Idempotent(NamedTuple):
    """One request with its key."""

    store: KeyStore
    caller: str
    key: str
    fingerprint: bytes

    async def answer(
        self,
        time_ns: int,
        work: Callable[[int, EarlierRequest | None], Awaitable[Worked]],
        refuse: Callable[[UnderWay | OtherRequest | Unstorable], Awaitable[Answer]],
        crashed: Callable[[Exception], Worked],
    ) -> Answer:
        """Return the answer of *work*, or the one that an earlier request with the key was given.

        *work* takes the time of receipt, and what is kept of an earlier request: it works again
        what may be sent again, and repeats the rest. *crashed* returns what is kept where it raises,
        and *refuse* the answer where nothing is worked.
        """
        found = await self._begin(time_ns)
        if isinstance(found, UnderWay | OtherRequest | Unstorable):
            return await refuse(found)
        if found is None:
            return await self._work(work, crashed, time_ns, None)
        if found.answer is not None and not found.is_cut_off:
            if found.answer.status == HTTPStatus.OK or not any(found.resend_safe):
                return replayed(found.answer)
            again = self.store.begin_again(self.caller, self.key)
            is_taken, is_cancelled = await _to_its_end(again)
            if not is_taken:
                return await refuse(UnderWay())
            if is_cancelled:
                await self._let_go(found)
                raise RequestRejected(ShuttingDown())
        return await self._work(work, crashed, found.time_ns, found)

    async def _begin(self, time_ns: int) -> Found:
        """Take the key; a shutdown meanwhile lets go of it again, for nothing has been sent."""
        taking = self.store.begin(self.caller, self.key, self.fingerprint, time_ns)
        found, is_cancelled = await _to_its_end(taking)
        if is_cancelled:
            if found is None or (isinstance(found, EarlierRequest) and found.answer is None):
                await self._let_go(found)
            raise RequestRejected(ShuttingDown())
        return found

    async def _work(
        self,
        work: Callable[[int, EarlierRequest | None], Awaitable[Worked]],
        crashed: Callable[[Exception], Worked],
        time_ns: int,
        kept: EarlierRequest | None,
    ) -> Answer:
        try:
            worked = await work(time_ns, kept)
        except RequestRejected:  # before anything was sent
            await _to_its_end(self._let_go(kept))
            raise
        except Exception as exc:  # a bug: something may have been sent
            await _to_its_end(self.store.finish(self.caller, self.key, crashed(exc)))
            raise
        except BaseException:
            await _to_its_end(self.store.abandon(self.caller, self.key))
            raise
        if worked.answer.status in _UNBOUND:
            ending = self._let_go(kept)
        else:
            ending = self.store.finish(self.caller, self.key, worked)
        await _to_its_end(ending)
        return replayed(worked.answer) if worked.is_replayed else worked.answer

    async def _let_go(self, kept: EarlierRequest | None) -> None:
        """Leave the key as it was before this request, of which nothing was sent."""
        if kept is None:
            await self.store.forget(self.caller, self.key)
        elif kept.answer is None or kept.is_cut_off:
            await self.store.abandon(self.caller, self.key)
        else:
            await self.store.finish(self.caller, self.key, Worked(kept.answer, kept.resend_safe))


async def _to_its_end(step: Awaitable[T]) -> tuple[T, bool]:
    """Await *step*, which takes milliseconds; return its result, and whether a shutdown came meanwhile.

    The shutdown is over with that: whoever waits has an answer to give.
    """
    running = asyncio.ensure_future(step)
    is_cancelled = False
    while not running.done():
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or running.cancelled():
                raise
            task.uncancel()
            is_cancelled = True
    return running.result(), is_cancelled


def replayed(answer: Answer) -> Answer:
    """Return an answer that was given before, marked so."""
    return Answer(answer.status, answer.body, {**answer.headers, **REPLAYED}, answer.media_type)
