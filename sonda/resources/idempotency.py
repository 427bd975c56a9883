"""`Idempotency-Key`: a request that is repeated with its key is worked once.

Spec: https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final, NamedTuple, Protocol, TypeAlias

from sonda.answers import Answer

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

    *time_ns* is its time of receipt. Without an *answer* the server that worked it has died.
    """

    time_ns: int
    answer: Answer | None = None
    resend_safe: tuple[bool, ...] = ()


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
        """Close the store."""
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
        refuse: Callable[[UnderWay | OtherRequest | Unstorable], Answer],
    ) -> Answer:
        """Return the answer of *work*, or the one that an earlier request with the key was given.

        *work* takes the time of receipt, and what is kept of an earlier request: it works again
        what may be sent again, and repeats the rest. *refuse* makes the other answers.
        """
        found = await self.store.begin(self.caller, self.key, self.fingerprint, time_ns)
        if isinstance(found, UnderWay | OtherRequest | Unstorable):
            return refuse(found)
        if found is None:
            return await self._work(work, time_ns, None)
        if found.answer is not None:
            if found.answer.status == HTTPStatus.OK or not any(found.resend_safe):
                return replayed(found.answer)
            if not await self.store.begin_again(self.caller, self.key):
                return refuse(UnderWay())
        return await self._work(work, found.time_ns, found)

    async def _work(
        self,
        work: Callable[[int, EarlierRequest | None], Awaitable[Worked]],
        time_ns: int,
        kept: EarlierRequest | None,
    ) -> Answer:
        try:
            worked = await work(time_ns, kept)
        except BaseException:
            await self.store.abandon(self.caller, self.key)  # a bug: something may have been sent
            raise
        status = worked.answer.status
        if status in _UNBOUND:
            await self.store.forget(self.caller, self.key)
        else:
            await self.store.finish(self.caller, self.key, worked)
        return replayed(worked.answer) if worked.is_replayed else worked.answer


def replayed(answer: Answer) -> Answer:
    """Return an answer that was given before, marked so."""
    return Answer(answer.status, answer.body, {**answer.headers, **REPLAYED}, answer.media_type)
