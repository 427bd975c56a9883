"""What became of requests with an `Idempotency-Key`, so that none is worked twice.

Spec: https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

from sonda.server.database import Database
from sonda.server.process import boot_id, is_alive, process_token

_BARE: Final = re.compile(r"[ -~]{1,255}")
_QUOTED: Final = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\]){1,510})"')
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
  resend_safe INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (caller, key)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS idempotency_age ON idempotency_keys (caller, number);
CREATE TABLE IF NOT EXISTS idempotency_callers (
  caller TEXT PRIMARY KEY, kept INTEGER NOT NULL, number INTEGER NOT NULL
) WITHOUT ROWID;
"""


def parse_key(header: str) -> str | None:
    """Return the key of the header's value, bare or as a quoted string; `None` if it is none."""
    text = header.strip(" \t")
    if text.startswith('"'):
        quoted = _QUOTED.fullmatch(text)
        text = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else ""
    return text if _BARE.fullmatch(text) else None


@dataclass(frozen=True, slots=True)
class Begun:
    """The request is to be worked; its events take *time_ns* as the time of receipt."""

    time_ns: int


@dataclass(frozen=True, slots=True)
class UnderWay:
    """The first request with this key has no answer yet."""


@dataclass(frozen=True, slots=True)
class OtherRequest:
    """The key belongs to another request."""


@dataclass(frozen=True, slots=True)
class Died:
    """The server that worked the first request died; the key is this request's now.

    Whether it may be worked again depends on its sink.
    """

    time_ns: int


@dataclass(frozen=True, slots=True)
class Answered:
    """The first request was answered so."""

    time_ns: int
    status: int
    answer: bytes
    media_type: str
    resend_safe: bool


Found: TypeAlias = Begun | UnderWay | OtherRequest | Died | Answered


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
    """The keys of all callers; every method raises `sqlite3.Error` or `OSError` if it cannot write."""

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

    async def begin(self, caller: str, key: str, fingerprint: bytes, time_ns: int) -> Found:
        """Take the key for a request, unless an earlier one has it; return what is known of that."""
        return await self._database.run(
            partial(self._begin, caller=caller, key=key, fingerprint=fingerprint, time_ns=time_ns)
        )

    async def begin_again(self, caller: str, key: str) -> bool:
        """Take a key whose request was answered; return whether nobody was faster."""
        return await self._database.run(partial(self._begin_again, caller=caller, key=key))

    async def finish(
        self,
        caller: str,
        key: str,
        *,
        status: int,
        answer: bytes,
        media_type: str,
        resend_safe: bool,
    ) -> None:
        """Keep the answer to a request that was begun."""
        values = (status, answer, media_type, resend_safe, caller, key)
        await self._database.run(
            lambda connection: (
                connection.execute(
                    "UPDATE idempotency_keys SET owner = NULL, status = ?, answer = ?, media_type = ?,"
                    " resend_safe = ? WHERE caller = ? AND key = ?",
                    values,
                ).rowcount
            )
        )

    async def forget(self, caller: str, key: str) -> None:
        """Let go of a key whose request was not worked."""
        await self._database.run(partial(_delete, caller=caller, key=key))

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
            if working is not None and is_alive(working):
                return UnderWay() if kept == fingerprint else OtherRequest()
            if self._clock.age_s(*created) <= self._ttl_s:
                if kept != fingerprint:
                    return OtherRequest()
                if status is None:
                    connection.execute(
                        "UPDATE idempotency_keys SET owner = ? WHERE caller = ? AND key = ?",
                        (owner, caller, key),
                    )
                    return Died(kept_ns)
                return Answered(kept_ns, status, answer, media_type, bool(safe))
            _delete(connection, caller=caller, key=key)
        number = self._make_room(connection, caller)
        connection.execute(
            "INSERT INTO idempotency_keys (caller, key, fingerprint, number, created_s, boot,"
            " boot_s, time_ns, owner) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (caller, key, fingerprint, number, *self._clock.now(), time_ns, owner),
        )
        return Begun(time_ns)

    def _begin_again(self, connection: sqlite3.Connection, *, caller: str, key: str) -> bool:
        changed = connection.execute(
            "UPDATE idempotency_keys SET owner = ?, status = NULL, answer = NULL"
            " WHERE caller = ? AND key = ? AND owner IS NULL",
            (self._owner or process_token(), caller, key),
        )
        return changed.rowcount == 1

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
