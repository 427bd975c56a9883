"""What became of requests with an `Idempotency-Key`, so that none is worked twice.

Spec: https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Final

from sonda.http_answers import Answer
from sonda.resources.idempotency import (
    EarlierRequest,
    Found,
    OtherRequest,
    UnderWay,
    Unstorable,
    Worked,
)
from sonda.server.database import Database
from sonda.server.process import boot_id, is_alive, process_token
from sonda.server.tables import KEYS

_TAKE: Final = "UPDATE idempotency_keys SET owner = ? WHERE caller = ? AND key = ?"
_TAKE_AGAIN: Final = f"{_TAKE} AND owner IS NULL"
_FINISH: Final = (
    "UPDATE idempotency_keys SET owner = NULL, status = ?, answer = ?, media_type = ?,"
    " resend_safe = ? WHERE caller = ? AND key = ?"
)
_ABANDON: Final = (
    "UPDATE idempotency_keys SET owner = NULL, status = NULL, answer = NULL"
    " WHERE caller = ? AND key = ?"
)
_FORGET: Final = ""
"""Stands for `_delete`, which is more than one statement."""
_RETRY_S: Final = 1.0
_DRAIN_S: Final = 1.0
_ANSWER_S: Final = 0.01  # for the last answer to be written, once it is kept


class Clock:
    """How old a key is, whatever the wall clock does meanwhile: it counts only across boots."""

    def __init__(
        self,
        wall_s: Callable[[], float] = time.time,
        boot_s: Callable[[], float] = time.monotonic,
        boot: Callable[[], str] = boot_id,
    ) -> None:
        self._wall_s = wall_s
        self._boot_s = boot_s
        self._boot = boot

    def now(self) -> tuple[float, str, float]:
        """Return the time by the wall clock, which boot it is, and the seconds since it began."""
        return self._wall_s(), self._boot(), self._boot_s()

    def age_s(self, wall_s: float, boot: str, boot_s: float) -> float:
        """Return the seconds since `now` returned these three."""
        now_s, now_boot, now_boot_s = self.now()
        return now_boot_s - boot_s if boot == now_boot else max(0.0, now_s - wall_s)


class IdempotencyStore:
    """The keys of all callers, for all processes of a server.

    A key whose end could not be written is that of a server that died, or was never taken. This
    process knows at once; the others once that can be written, which is tried every second, or
    once this process has ended.
    """

    def __init__(
        self,
        path: Path,
        *,
        ttl_s: float,
        most_keys: int,
        clock: Clock | None = None,
        owner: str | None = None,
    ) -> None:
        self._database = Database(path, KEYS)
        self._ttl_s = ttl_s
        self._most_keys = most_keys
        self._clock = clock or Clock()
        self._owner = owner
        self._lost: dict[tuple[str, str], str] = {}
        self._under_way: set[tuple[str, str]] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._writing_lost: asyncio.Task[None] | None = None

    async def begin(self, caller: str, key: str, fingerprint: bytes, time_ns: int) -> Found:
        """Take the key, and return what is known of an earlier request; `None` if there was none."""
        lost = self._lost.get((caller, key))
        job = partial(self._begin, caller=caller, key=key, fingerprint=fingerprint, time_ns=time_ns)
        try:
            found = await self._database.run(job)
        except (sqlite3.Error, OSError) as exc:
            if lost is not None:
                self._lose(caller, key, lost)
            return Unstorable(str(exc))
        if found is None or (
            isinstance(found, EarlierRequest) and (found.answer is None or found.is_cut_off)
        ):
            self._taken(caller, key)
        return found

    async def begin_again(self, caller: str, key: str) -> bool:
        """Take a key whose request was answered; return whether nobody was faster."""
        owner = self._owner or process_token()
        is_taken = await self._write(_TAKE_AGAIN, (owner, caller, key))
        if is_taken:
            self._taken(caller, key)
        return is_taken

    async def finish(self, caller: str, key: str, worked: Worked) -> None:
        """Keep the answer; where that cannot be done, the key is that of a server that died."""
        answer = worked.answer
        safe = "".join("1" if one else "0" for one in worked.resend_safe)
        values = (answer.status, answer.body, answer.media_type, safe, caller, key)
        if not await self._write(_FINISH, values):
            self._lose(caller, key, _ABANDON)
        self._ended(caller, key)

    async def abandon(self, caller: str, key: str) -> None:
        """Let the key be that of a server that died."""
        if not await self._write(_ABANDON, (caller, key)):
            self._lose(caller, key, _ABANDON)
        self._ended(caller, key)

    async def forget(self, caller: str, key: str) -> None:
        """Let go of a key whose request was not worked."""
        try:
            await self._database.run(partial(_delete, caller=caller, key=key))
        except (sqlite3.Error, OSError):
            self._lose(caller, key, _FORGET)
        self._ended(caller, key)

    async def drain(self) -> None:
        """Wait until no key is under way in this process, for a second at the most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_S):
                await self._idle.wait()
        await asyncio.sleep(_ANSWER_S)

    def _taken(self, caller: str, key: str) -> None:
        self._under_way.add((caller, key))
        self._idle.clear()

    def _ended(self, caller: str, key: str) -> None:
        self._under_way.discard((caller, key))
        if not self._under_way:
            self._idle.set()

    def _lose(self, caller: str, key: str, statement: str) -> None:
        """Remember what is to be written of a key, and try to until it is."""
        self._lost[caller, key] = statement
        if self._writing_lost is None or self._writing_lost.done():
            self._writing_lost = asyncio.create_task(self._write_lost())

    async def _write_lost(self) -> None:
        while self._lost:
            await asyncio.sleep(_RETRY_S)
            for (caller, key), statement in tuple(self._lost.items()):
                job = partial(self._write_lost_one, caller=caller, key=key, statement=statement)
                with suppress(sqlite3.Error, OSError):
                    await self._database.run(job)
                    self._lost.pop((caller, key), None)

    def _write_lost_one(
        self, connection: sqlite3.Connection, *, caller: str, key: str, statement: str
    ) -> None:
        if (caller, key) not in self._lost:
            return  # the next request with the key was faster
        if statement == _FORGET:
            _delete(connection, caller=caller, key=key)
        else:
            connection.execute(statement, (caller, key))

    async def _write(self, statement: str, values: tuple[object, ...]) -> bool:
        """Change one row; return whether that was written."""
        try:
            return await self._database.run(
                lambda connection: connection.execute(statement, values).rowcount == 1
            )
        except (sqlite3.Error, OSError):
            return False

    def close(self) -> None:
        """Finish what was begun."""
        if self._writing_lost is not None and not self._writing_lost.get_loop().is_closed():
            self._writing_lost.cancel()
        self._database.close()

    def _begin(
        self,
        connection: sqlite3.Connection,
        *,
        caller: str,
        key: str,
        fingerprint: bytes,
        time_ns: int,
    ) -> Found:
        owner = self._owner or process_token()
        row = connection.execute(
            "SELECT fingerprint, created_s, boot, boot_s, time_ns, owner, status, answer, media_type, resend_safe"
            " FROM idempotency_keys WHERE caller = ? AND key = ?",
            (caller, key),
        ).fetchone()
        if row is not None:
            kept, *created, kept_ns, working, status, answer, media_type, safe = row
            lost = self._lost.pop((caller, key), None) if working == owner else None
            if working is not None and lost is None and is_alive(working):
                return UnderWay() if kept == fingerprint else OtherRequest()
            if lost != _FORGET and self._clock.age_s(*created) <= self._ttl_s:
                if kept != fingerprint:
                    if lost is not None:
                        self._lost[caller, key] = lost
                    return OtherRequest()
                is_cut_off = working is not None or status is None
                if is_cut_off:
                    connection.execute(_TAKE, (owner, caller, key))
                if status is None:
                    return EarlierRequest(kept_ns)
                flags = tuple(flag == "1" for flag in safe)
                known = Answer(status, answer, media_type=media_type)
                return EarlierRequest(kept_ns, known, flags, is_cut_off)
            _delete(connection, caller=caller, key=key)
        number = self._make_room(connection, caller)
        connection.execute(
            "INSERT INTO idempotency_keys (caller, key, fingerprint, number, created_s, boot,"
            " boot_s, time_ns, owner) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (caller, key, fingerprint, number, *self._clock.now(), time_ns, owner),
        )
        return None

    def _make_room(self, connection: sqlite3.Connection, caller: str) -> int:
        """Count one more key of a caller, whose oldest ones go; return the new key's number.

        One that is under way stays, whatever its age.
        """
        connection.execute(
            "INSERT INTO idempotency_callers VALUES (?, 1, 1)"
            " ON CONFLICT DO UPDATE SET kept = kept + 1, number = number + 1",
            (caller,),
        )
        kept, number = connection.execute(
            "SELECT kept, number FROM idempotency_callers WHERE caller = ?", (caller,)
        ).fetchone()
        for key in _oldest(connection, caller, kept - self._most_keys):
            _delete(connection, caller=caller, key=key)
        return int(number)


def _oldest(connection: sqlite3.Connection, caller: str, count: int) -> list[str]:
    """Return a caller's oldest keys, *count* of them; none that a living process has under way."""
    keys: list[str] = []
    works = cache(is_alive)
    rows = connection.execute(
        "SELECT key, owner FROM idempotency_keys WHERE caller = ? ORDER BY number", (caller,)
    )
    while len(keys) < count and (row := rows.fetchone()) is not None:
        key, owner = row
        if owner is None or not works(owner):
            keys.append(key)
    rows.close()
    return keys


def _delete(connection: sqlite3.Connection, *, caller: str, key: str) -> None:
    gone = connection.execute(
        "DELETE FROM idempotency_keys WHERE caller = ? AND key = ?", (caller, key)
    ).rowcount
    connection.execute(
        "UPDATE idempotency_callers SET kept = kept - ? WHERE caller = ?", (gone, caller)
    )
