"""Keys are kept per caller, for as long as promised, whatever dies meanwhile."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest

from sonda.http_answers import Answer
from sonda.resources.idempotency import (
    EarlierRequest,
    OtherRequest,
    UnderWay,
    Unstorable,
    Worked,
    parse_key,
)
from sonda.server.idempotency_store import Clock, IdempotencyStore

T = TypeVar("T")

DEAD = "1:0:another boot"
ANSWER = Answer(200, b"{}\n")
DONE = Worked(ANSWER, (False,))


def using(
    folder: Path, work: Callable[[IdempotencyStore], Coroutine[Any, Any, T]], **options: Any
) -> T:
    """Do *work* with a store in *folder*."""
    store = IdempotencyStore(
        folder / "sonda.sqlite3", **{"ttl_s": 60.0, "most_keys": 100, **options}
    )
    try:
        return asyncio.run(work(store))
    finally:
        store.close()


@pytest.mark.parametrize(
    ("header", "key"),
    [
        ("k", "k"),
        (" k ", "k"),
        ('"k"', "k"),
        ("a b", "a b"),
        (r'"a\"b\\"', r"a\"b\\".replace('\\"', '"').replace("\\\\", "\\")),
        ("x" * 255, "x" * 255),
        ("x" * 256, None),
        ("", None),
        ('""', None),
        ('"k', None),
        ('"a"b"', None),
        ("é", None),
        ("a\tb", None),
    ],
)
def test_a_key_is_printable_ascii(header: str, key: str | None) -> None:
    """Bare or quoted (RFC 8941), 1 to 255 characters."""
    assert parse_key(header) == key


def test_the_first_is_worked_and_its_answer_kept(tmp_path: Path) -> None:
    """Under way it is nobody else's; then its answer and its time are there for the next one."""

    async def work(store: IdempotencyStore) -> None:
        assert await store.begin("me", "k", b"f", 7) is None
        assert await store.begin("me", "k", b"f", 8) == UnderWay()
        assert await store.begin("me", "k", b"other", 8) == OtherRequest()
        await store.finish("me", "k", DONE)
        found = await store.begin("me", "k", b"f", 9)
        assert found == EarlierRequest(7, ANSWER, (False,))
        assert await store.begin("me", "k", b"other", 9) == OtherRequest()

    using(tmp_path, work)


def test_two_at_once_are_one(tmp_path: Path) -> None:
    """Of many that come in the same moment exactly one is worked."""

    async def work(store: IdempotencyStore) -> None:
        found = await asyncio.gather(*(store.begin("me", "k", b"f", n) for n in range(50)))
        assert found.count(None) == 1
        assert sum(isinstance(one, UnderWay) for one in found) == 49

    using(tmp_path, work)


def test_what_was_not_worked_does_not_bind(tmp_path: Path) -> None:
    """The next request with the key may be another one."""

    async def work(store: IdempotencyStore) -> None:
        await store.begin("me", "k", b"f", 1)
        await store.forget("me", "k")
        assert await store.begin("me", "k", b"other", 2) is None

    using(tmp_path, work)


def test_keys_outlive_the_store(tmp_path: Path) -> None:
    """A later process finds the answer; a key that was under way belongs to a server that died."""

    async def first(store: IdempotencyStore) -> None:
        await store.begin("me", "done", b"f", 1)
        await store.finish("me", "done", DONE)
        await store.begin("me", "cut off", b"f", 2)

    async def second(store: IdempotencyStore) -> None:
        assert await store.begin("me", "done", b"f", 3) == EarlierRequest(1, ANSWER, (False,))
        assert await store.begin("me", "cut off", b"f", 3) == EarlierRequest(2)
        assert await store.begin("me", "cut off", b"f", 3) == UnderWay()

    using(tmp_path, first, owner=DEAD)
    using(tmp_path, second)


def test_a_worked_key_is_taken_again_once(tmp_path: Path) -> None:
    """Where sending again is safe, one of those that ask does it."""

    async def work(store: IdempotencyStore) -> None:
        await store.begin("me", "k", b"f", 1)
        await store.finish("me", "k", Worked(Answer(504, b"{}"), (True,)))
        assert await store.begin_again("me", "k")
        assert not await store.begin_again("me", "k")
        assert await store.begin("me", "k", b"f", 2) == UnderWay()

    using(tmp_path, work)


def test_the_oldest_of_the_same_caller_go_first(tmp_path: Path) -> None:
    """Another caller's keys stay, and so does one that is under way."""

    async def work(store: IdempotencyStore) -> None:
        await store.begin("other", "k", b"f", 0)
        await store.begin("me", "under way", b"f", 0)
        for number in range(5):
            await store.begin("me", f"k{number}", b"f", number)
            await store.finish("me", f"k{number}", DONE)
        kept = [await store.begin("me", f"k{number}", b"f", 9) for number in (3, 4)]
        assert kept == [EarlierRequest(number, ANSWER, (False,)) for number in (3, 4)]
        assert await store.begin("me", "under way", b"f", 9) == UnderWay()
        assert await store.begin("other", "k", b"f", 9) == UnderWay()
        assert await store.begin("me", "k0", b"f", 9) is None

    using(tmp_path, work, most_keys=3)


def test_keys_of_servers_that_died_go_as_all_do(tmp_path: Path) -> None:
    """Nobody works them: kept for good they would push out all others, and grow without end."""

    async def die(store: IdempotencyStore) -> None:
        for number in range(5):
            await store.begin("me", f"died {number}", b"f", number)

    async def work(store: IdempotencyStore) -> None:
        for number in range(3):
            await store.begin("me", f"k{number}", b"f", number)
            await store.finish("me", f"k{number}", DONE)
        kept = [await store.begin("me", f"k{number}", b"f", 9) for number in range(3)]
        assert kept == [EarlierRequest(number, ANSWER, (False,)) for number in range(3)]
        assert await store.begin("me", "died 4", b"f", 9) is None

    using(tmp_path, die, owner=DEAD, most_keys=9)
    using(tmp_path, work, most_keys=3)


def test_a_key_lives_for_its_time(tmp_path: Path) -> None:
    """By a clock that nobody sets; the wall clock counts only across boots."""
    now: dict[str, Any] = {"wall": 1000.0, "boot": 5.0, "which": "a"}
    clock = Clock(lambda: now["wall"], lambda: now["boot"], lambda: str(now["which"]))

    async def work(store: IdempotencyStore) -> None:
        await store.begin("me", "k", b"f", 1)
        await store.finish("me", "k", DONE)
        now["wall"] += 1_000_000  # somebody sets the wall clock
        assert await store.begin("me", "k", b"f", 2) == EarlierRequest(1, ANSWER, (False,))
        now["boot"] += 61
        assert await store.begin("me", "k", b"f", 3) is None
        await store.finish("me", "k", DONE)
        now.update(which="b", boot=0.0, wall=now["wall"] - 50)
        assert await store.begin("me", "k", b"f", 4) == EarlierRequest(3, ANSWER, (False,))
        now["wall"] += 200
        assert await store.begin("me", "k", b"f", 5) is None

    using(tmp_path, work, clock=clock)


def test_what_cannot_be_kept_is_said(tmp_path: Path) -> None:
    """And where it can again, the next request is kept."""

    async def work(store: IdempotencyStore) -> None:
        tmp_path.joinpath("sonda.sqlite3").mkdir()
        assert isinstance(await store.begin("me", "k", b"f", 1), Unstorable)
        tmp_path.joinpath("sonda.sqlite3").rmdir()
        assert await store.begin("me", "k", b"f", 1) is None

    using(tmp_path, work)


def test_a_killed_process_is_noticed(tmp_path: Path) -> None:
    """Its token is nobody's any more, even while its parent has not asked for its status."""
    script = (
        "import asyncio, os, pathlib, signal, sys\n"
        "from sonda.server.idempotency_store import IdempotencyStore\n"
        "async def main():\n"
        "    store = IdempotencyStore(pathlib.Path(sys.argv[1]), ttl_s=60, most_keys=9)\n"
        "    await store.begin('me', 'k', b'f', 42)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())\n"
    )
    killed = subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "sonda.sqlite3")])
    with killed:
        killed.wait()

    async def work(store: IdempotencyStore) -> None:
        assert await store.begin("me", "k", b"f", 43) == EarlierRequest(42)

    using(tmp_path, work)


def test_an_answer_that_cannot_be_kept_leaves_the_key_of_a_dead_server(tmp_path: Path) -> None:
    """The disk is full after the yes: the next request is told that nobody knows."""

    async def work(store: IdempotencyStore) -> None:
        assert await store.begin("me", "k", b"f", 1) is None
        huge = Worked(Answer(200, b"x" * 10_000_000), (False,))
        await store._database.run(lambda c: c.execute("PRAGMA max_page_count = 30").fetchall())
        await store.finish("me", "k", huge)
        assert await store.begin("me", "k", b"f", 2) == EarlierRequest(1)

    using(tmp_path, work)


def test_a_bug_leaves_the_key_of_a_dead_server(tmp_path: Path) -> None:
    """Something may have been sent before it."""

    async def work(store: IdempotencyStore) -> None:
        await store.begin("me", "k", b"f", 1)
        await store.abandon("me", "k")
        assert await store.begin("me", "k", b"f", 2) == EarlierRequest(1)

    using(tmp_path, work)


def test_a_death_while_worked_again_leaves_what_was_known(tmp_path: Path) -> None:
    """The answer of the first time stays, marked: what was worked again may have been sent."""
    mixed = Worked(Answer(207, b"{}\n"), (False, True))

    async def first(store: IdempotencyStore) -> None:
        await store.begin("me", "k", b"f", 1)
        await store.finish("me", "k", mixed)
        assert await store.begin_again("me", "k")

    async def second(store: IdempotencyStore) -> None:
        known = EarlierRequest(1, mixed.answer, (False, True), is_cut_off=True)
        assert await store.begin("me", "k", b"f", 2) == known
        assert await store.begin("me", "k", b"f", 3) == UnderWay()
        await store.finish("me", "k", mixed)
        settled = EarlierRequest(1, mixed.answer, (False, True))
        assert await store.begin("me", "k", b"f", 4) == settled

    using(tmp_path, first, owner=DEAD)
    using(tmp_path, second)


def test_another_worker_learns_of_a_verdict_that_was_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk had no room for it; once it has, the key is that of a dead server for everybody."""
    monkeypatch.setattr("sonda.server.idempotency_store._RETRY_S", 0.0)

    async def work(store: IdempotencyStore) -> None:
        assert await store.begin("me", "k", b"f", 1) is None
        assert await store.begin("me", "unsent", b"f", 1) is None
        with monkeypatch.context() as full:
            full.setattr("sonda.server.database._transact", _no_room)
            await store.finish("me", "k", DONE)
            await store.forget("me", "unsent")
        other = IdempotencyStore(tmp_path / "sonda.sqlite3", ttl_s=60.0, most_keys=100)
        assert store._writing_lost is not None
        await store._writing_lost
        assert await other.begin("me", "k", b"f", 2) == EarlierRequest(1)
        assert await other.begin("me", "unsent", b"f", 2) is None
        other.close()

    using(tmp_path, work)


def _no_room(*_: object) -> None:
    raise sqlite3.OperationalError("database or disk is full")


def test_a_verdict_that_was_lost_is_known_here_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even while nothing can be written: a key that cannot be taken is still lost."""

    async def work(store: IdempotencyStore) -> None:
        assert await store.begin("me", "k", b"f", 1) is None
        with monkeypatch.context() as full:
            full.setattr("sonda.server.database._transact", _no_room)
            await store.finish("me", "k", DONE)
            assert isinstance(await store.begin("me", "k", b"f", 2), Unstorable)
        assert await store.begin("me", "k", b"other", 3) == OtherRequest()
        assert await store.begin("me", "k", b"f", 3) == EarlierRequest(1)
        assert await store.begin("me", "k", b"f", 4) == UnderWay()

    using(tmp_path, work)


def test_one_job_that_fails_fails_alone(tmp_path: Path) -> None:
    """Jobs share a transaction, but not its failure."""

    async def work(store: IdempotencyStore) -> None:
        bad = store._database.run(lambda c: c.execute("SELECT * FROM nothing_like_it").fetchall())
        good = store.begin("me", "k", b"f", 1)
        failed, taken = await asyncio.gather(bad, good, return_exceptions=True)
        assert isinstance(failed, sqlite3.OperationalError)
        assert taken is None
        assert await store.begin("me", "k", b"f", 2) == UnderWay()

    using(tmp_path, work)
