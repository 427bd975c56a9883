"""What became of requests with an `Idempotency-Key`, so that none is worked twice.

Spec: https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from sonda.answers import Answer
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

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS idempotency_keys (
  caller TEXT NOT NULL,
  key TEXT NOT NULL,
  fingerprint BLOB NOT NULL,
  number INTEGER NOT NULL,
  created_s REAL NOT NULL,
  boot TEXT NOT NULL,
  boot_s REAL NOT NULL,
  time_ns INTEGER NOT NULL,
  owner TEXT,
  status INTEGER,
  answer BLOB,
  media_type TEXT,
  resend_safe TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (caller, key)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS idempotency_age ON idempotency_keys (caller, number);
CREATE TABLE IF NOT EXISTS idempotency_callers (
  caller TEXT PRIMARY KEY, kept INTEGER NOT NULL, number INTEGER NOT NULL
) WITHOUT ROWID;
"""


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

    Keys whose end could not be written are remembered here as those of a server that died; once
    this process has ended, everybody sees that.
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
        self._database = Database(path, _SCHEMA)
        self._ttl_s = ttl_s
        self._most_keys = most_keys
        self._clock = clock or Clock()
        self._owner = owner
        self._lost: set[tuple[str, str]] = set()

    async def begin(self, caller: str, key: str, fingerprint: bytes, time_ns: int) -> Found:
        """Take the key, and return what is known of an earlier request; `None` if there was none."""
        job = partial(self._begin, caller=caller, key=key, fingerprint=fingerprint, time_ns=time_ns)
        try:
            return await self._database.run(job)
        except (sqlite3.Error, OSError) as exc:
            return Unstorable(str(exc))

    async def begin_again(self, caller: str, key: str) -> bool:
        """Take a key whose request was answered; return whether nobody was faster."""
        values = (self._owner or process_token(), caller, key)
        return await self._write(
            "UPDATE idempotency_keys SET owner = ?, status = NULL, answer = NULL"
            " WHERE caller = ? AND key = ? AND owner IS NULL",
            values,
        )

    async def finish(self, caller: str, key: str, worked: Worked) -> None:
        """Keep the answer; where that cannot be done, the key is that of a server that died."""
        answer = worked.answer
        safe = "".join("1" if one else "0" for one in worked.resend_safe)
        values = (answer.status, answer.body, answer.media_type, safe, caller, key)
        kept = await self._write(
            "UPDATE idempotency_keys SET owner = NULL, status = ?, answer = ?, media_type = ?,"
            " resend_safe = ? WHERE caller = ? AND key = ?",
            values,
        )
        if not kept:
            self._lost.add((caller, key))

    async def abandon(self, caller: str, key: str) -> None:
        """Let the key be that of a server that died."""
        if not await self._write(
            "UPDATE idempotency_keys SET owner = NULL WHERE caller = ? AND key = ?", (caller, key)
        ):
            self._lost.add((caller, key))

    async def forget(self, caller: str, key: str) -> None:
        """Let go of a key whose request was not worked."""
        try:
            await self._database.run(partial(_delete, caller=caller, key=key))
        except (sqlite3.Error, OSError):
            self._lost.add((caller, key))

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
            mine = working == owner and (caller, key) in self._lost
            if working is not None and not mine and is_alive(working):
                return UnderWay() if kept == fingerprint else OtherRequest()
            if self._clock.age_s(*created) <= self._ttl_s:
                if kept != fingerprint:
                    return OtherRequest()
                if status is None:
                    self._lost.discard((caller, key))
                    connection.execute(
                        "UPDATE idempotency_keys SET owner = ? WHERE caller = ? AND key = ?",
                        (owner, caller, key),
                    )
                    return EarlierRequest(kept_ns)
                flags = tuple(flag == "1" for flag in safe)
                return EarlierRequest(kept_ns, Answer(status, answer, media_type=media_type), flags)
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
        if kept > self._most_keys:
            oldest = connection.execute(
                "SELECT key FROM idempotency_keys WHERE caller = ? AND owner IS NULL"
                " ORDER BY number LIMIT ?",
                (caller, kept - self._most_keys),
            ).fetchall()
            for (key,) in oldest:
                _delete(connection, caller=caller, key=key)
        return int(number)


def _delete(connection: sqlite3.Connection, *, caller: str, key: str) -> None:
    gone = connection.execute(
        "DELETE FROM idempotency_keys WHERE caller = ? AND key = ?", (caller, key)
    ).rowcount
    connection.execute(
        "UPDATE idempotency_callers SET kept = kept - ? WHERE caller = ?", (gone, caller)
    )
