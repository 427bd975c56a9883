"""The `file` sink against real files, pipes and devices."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import pickle
import resource
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from time import sleep
from typing import Any

import pytest
from returns.result import Failure, Result, Success

from sonda.pipeline.deadline import Deadline
from sonda.pipeline.model import Ack, Confirmed, Payload
from sonda.pipeline.net import AccessPolicy, Network, files
from sonda.pipeline.net import blocking_writers as lines
from sonda.pipeline.problems import Forbidden, OutcomeUnknown, Problem, Unreachable
from sonda.pipeline.result import then
from sonda.pipeline.sinks.file import SINK, File, open_writer
from sonda.pipeline.text.escape import quote
from tests.support.events import record

LINE = b'{"message":"Deploy started"}\n'
ACCEPTED = Success(Ack(Confirmed.ACCEPTED))
STORED = Success(Ack(Confirmed.STORED))
SHORT_S = 0.2
BEGUN_S = 2.5  # in which a write has begun, on a busy machine, too


def payload(body: bytes = LINE) -> Payload:
    """Make an event of the bytes."""
    return Payload(record(time_ns=1), "json_lines", "application/x-ndjson", body)


async def send(
    path: str | Path,
    body: bytes = LINE,
    *,
    root: Path | None = None,
    fsync: bool = False,
    within_s: float = 30.0,
) -> Result[Ack, Problem]:
    """Push and flush one event; with a *root* as a server would."""
    transport = Network(AccessPolicy(file_root=root, tls_root=root) if root else None)
    options = File(path=str(path), fsync=fsync)
    writer = open_writer(options, transport)
    pushed = await SINK.push(payload(body), writer, transport, Deadline.within(within_s))
    return await then(pushed, lambda pending: pending())


def send_now(
    path: str | Path, body: bytes = LINE, *, root: Path | None = None, fsync: bool = False
) -> Result[Ack, Problem]:
    """Push and flush one event in a loop of its own."""
    return asyncio.run(send(path, body, root=root, fsync=fsync))


def unreachable(path: str | Path, code: int) -> Failure[Problem]:
    """Expect an error of the operating system."""
    return Failure(Unreachable(f"write to {quote(str(path))}", os.strerror(code)))


def timed_out(path: str | Path) -> Failure[Problem]:
    """Expect an event to be withdrawn."""
    return Failure(Unreachable(f"write to {quote(str(path))}", f"timed out after {SHORT_S}s"))


def torn(path: str | Path, words: str) -> Failure[Problem]:
    """Expect a part of the event, or what may be none of it, to be in the file for good."""
    return Failure(OutcomeUnknown(quote(str(path)), f"({words})", 1))


def outside(path: str | Path) -> Failure[Problem]:
    """Expect a path to be refused for where it leads to."""
    return Failure(
        Forbidden(
            f"file path {quote(str(path))} is outside the file root",
            "sonda-server --file-root DIR would allow its folder",
        )
    )


def special(path: str | Path) -> Failure[Problem]:
    """Expect a path to be refused for what it leads to."""
    return Failure(
        Forbidden(
            f"file path {quote(str(path))} is no regular file",
            "no sonda-server --file-root would allow it",
        )
    )


def failing(code: int) -> Callable[..., int]:
    """Make a system call that fails."""

    def call(*_: object, **__: object) -> int:
        raise OSError(code, os.strerror(code))

    return call


def mode(path: Path) -> int:
    """Give a file's permissions."""
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Make a file root, with a folder beside it whose name starts like the root's."""
    (tmp_path / "base").mkdir()
    (tmp_path / "based").mkdir()
    return tmp_path / "base"


@pytest.fixture
def usual_umask() -> Iterator[None]:
    """Set the umask that most systems have."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@contextmanager
def program(*arguments: str | Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a function of this module in a process of its own."""
    call = f"import sys, {__name__} as this; getattr(this, sys.argv[1])(*sys.argv[2:])"
    with subprocess.Popen(
        [sys.executable, "-c", call, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
    ) as process:
        yield process


# What arrives


def test_events_are_appended(tmp_path: Path) -> None:
    """Each event follows the one before it, and what was in the file stays there."""
    file = tmp_path / "x.log"
    file.write_bytes(b"earlier\n")
    assert [send_now(file, b"1\n"), send_now(file, b"2\n")] == [ACCEPTED, ACCEPTED]
    assert file.read_bytes() == b"earlier\n1\n2\n"


def test_a_foreign_torn_line_is_left_alone(tmp_path: Path) -> None:
    """A file that does not end with a line feed gets the event and nothing else."""
    file = tmp_path / "x.log"
    file.write_bytes(b"torn")
    assert send_now(file) == ACCEPTED
    assert file.read_bytes() == b"torn" + LINE


@pytest.mark.parametrize("confined", [False, True])
def test_missing_folders_are_created(root: Path, usual_umask: None, *, confined: bool) -> None:
    """New folders are 0750 and a new file is 0640, the folders in between included."""
    file = root / "a" / "b" / "c" / "x.log"
    assert send_now(file, root=root if confined else None) == ACCEPTED
    assert file.read_bytes() == LINE
    assert [mode(folder) for folder in (root / "a", root / "a/b", root / "a/b/c")] == [0o750] * 3
    assert mode(file) == 0o640


@pytest.mark.parametrize("confined", [False, True])
def test_folders_that_are_there_need_no_permission(
    root: Path, monkeypatch: pytest.MonkeyPatch, *, confined: bool
) -> None:
    """No folder is made that exists: a file server may refuse that before it looks."""
    (root / "a").mkdir()
    monkeypatch.setattr(os, "mkdir", failing(errno.EACCES))
    assert send_now(root / "a/x.log", root=root if confined else None) == ACCEPTED
    missing = root / "a/b/x.log"
    refused = unreachable(missing, errno.EACCES)
    assert send_now(missing, root=root if confined else None) == refused


def test_a_server_takes_relative_paths_from_its_root(root: Path) -> None:
    """A relative path starts at the file root."""
    assert send_now("a/x.log", root=root) == ACCEPTED
    assert (root / "a/x.log").read_bytes() == LINE


def test_the_library_takes_relative_paths_from_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative path starts where the program is."""
    monkeypatch.chdir(tmp_path)
    assert [send_now("x.log"), send_now("a/x.log")] == [ACCEPTED, ACCEPTED]
    assert (tmp_path / "x.log").read_bytes() == (tmp_path / "a/x.log").read_bytes() == LINE


def test_events_of_one_process_take_turns(tmp_path: Path) -> None:
    """Long lines that are sent at once to one file, by any spelling of its path, stay whole."""
    bodies = [b"%d" % (n % 10) * 50_000 + b"\n" for n in range(40)]
    spellings = [tmp_path / "x.log", tmp_path / "a/../x.log"]
    (tmp_path / "a").mkdir()

    async def send_all() -> list[Result[Ack, Problem]]:
        sending = (send(spellings[n % 2], body) for n, body in enumerate(bodies))
        return await asyncio.gather(*sending)

    assert asyncio.run(send_all()) == [ACCEPTED] * len(bodies)
    written = (tmp_path / "x.log").read_bytes().splitlines(keepends=True)
    assert sorted(written) == sorted(bodies)


def append_a_thousand(path: str, name: str) -> None:
    """Send 1,000 events at once, in a program of its own."""

    async def send_all() -> None:
        bodies = [f"{name} {n} {name * n}\n".encode() for n in range(1000)]
        verdicts = await asyncio.gather(*(send(path, body) for body in bodies))
        assert verdicts == [ACCEPTED] * len(bodies)

    asyncio.run(send_all())


def test_processes_take_turns(tmp_path: Path) -> None:
    """Two processes that append 1,000 lines each to one file tear none of them."""
    file = tmp_path / "x.log"
    with program("append_a_thousand", file, "a") as a, program("append_a_thousand", file, "b") as b:
        a.communicate()
        b.communicate()
    assert (a.returncode, b.returncode) == (0, 0)
    expected = [f"{name} {n} {name * n}\n" for name in "ab" for n in range(1000)]
    assert sorted(file.read_text().splitlines(keepends=True)) == sorted(expected)


# Events that share a write


async def send_together(
    file: Path, *sending: Coroutine[Any, Any, Result[Ack, Problem]]
) -> list[Result[Ack, Problem]]:
    """Line events up behind a lock, and let them go at once."""
    with file.open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        tasks = [asyncio.ensure_future(each) for each in sending]
        await asyncio.sleep(0)
        while len(lines._queues[file].waiting) < len(tasks):  # noqa: ASYNC110  # nobody is told
            await asyncio.sleep(0.001)
    return await asyncio.gather(*tasks)


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Record what is written at once."""
    written: list[bytes] = []
    write = os.write

    def record_write(fd: int, body: bytes) -> int:
        if stat.S_ISREG(os.fstat(fd).st_mode):  # event loops wake each other through sockets
            written.append(body)
        return write(fd, body)

    monkeypatch.setattr(os, "write", record_write)
    return written


def test_events_that_wait_share_a_write(tmp_path: Path, writes: list[bytes]) -> None:
    """What has lined up is written with one call, in its order, and all have their yes."""
    file, bodies = tmp_path / "x.log", [b"%d\n" % n for n in range(500)]
    verdicts = asyncio.run(send_together(file, *(send(file, body) for body in bodies)))
    assert verdicts == [ACCEPTED] * len(bodies)
    assert writes == [b"".join(bodies)]
    assert file.read_bytes() == b"".join(bodies)


def test_only_equal_sinks_share_a_write(tmp_path: Path, writes: list[bytes]) -> None:
    """Events that are to be durable do not go with those that are not; one fsync does for all."""
    file, bodies = tmp_path / "x.log", [b"%d\n" % n for n in range(10)]
    sending = (send(file, body, fsync=n % 2 == 1) for n, body in enumerate(bodies))
    assert asyncio.run(send_together(file, *sending)) == [ACCEPTED, STORED] * 5
    assert writes == [b"".join(bodies[::2]), b"".join(bodies[1::2])]


def test_events_of_several_loops_share_a_write(tmp_path: Path, writes: list[bytes]) -> None:
    """Threads with event loops of their own line up together, and each hears of its own event."""
    file, bodies = tmp_path / "x.log", [b"%d\n" % n for n in range(4)]

    async def send_from_threads() -> list[Result[Ack, Problem]]:
        sending = (asyncio.to_thread(send_now, file, body) for body in bodies[1:])
        return await send_together(file, send(file, bodies[0]), *sending)

    assert asyncio.run(send_from_threads()) == [ACCEPTED] * len(bodies)
    assert [sorted(write.splitlines(keepends=True)) for write in writes] == [bodies]


def test_what_shares_a_write_is_bounded(tmp_path: Path, writes: list[bytes]) -> None:
    """Neither many neighbours nor a huge one delay an event for long."""
    file, huge = tmp_path / "x.log", b"x" * 700_000 + b"\n"
    bodies = [LINE, huge, huge, huge * 2, *[b"\n"] * 2000]
    verdicts = asyncio.run(send_together(file, *(send(file, body) for body in bodies)))
    assert verdicts == [ACCEPTED] * len(bodies)
    assert writes == [LINE + huge, huge, huge * 2, b"\n" * 1024, b"\n" * 976]


def test_withdrawn_events_are_left_out_of_a_shared_write(tmp_path: Path) -> None:
    """Of those that line up, only the ones that somebody still waits for are written."""
    file = tmp_path / "x.log"

    async def send_some() -> list[Result[Ack, Problem] | BaseException]:
        file.touch()
        with file.open() as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            late = asyncio.ensure_future(send(file, b"late\n", within_s=SHORT_S))
            cancelled = asyncio.ensure_future(send(file, b"cancelled\n"))
            patient = asyncio.ensure_future(send(file))
            await asyncio.sleep(0)
            cancelled.cancel()
            verdict = await late
        return [verdict, await patient]

    assert asyncio.run(send_some()) == [timed_out(file), ACCEPTED]
    assert file.read_bytes() == LINE


def send_together_with_little_room(path: str, room: str) -> None:
    """Send three events at once where one cannot fit, in a program of its own."""
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(room), most))
    bodies = [b"1\n", b"x" * 100 + b"\n", b"2\n"]
    sending = send_together(Path(path), *(send(path, body) for body in bodies))
    sys.stdout.buffer.write(pickle.dumps(asyncio.run(sending)))


@pytest.mark.parametrize("room", [2, 10])
def test_an_event_that_does_not_fit_among_others(tmp_path: Path, room: int) -> None:
    """What is whole before it stays, it alone is cut back, and what comes after is tried again."""
    file = tmp_path / "x.log"
    with program("send_together_with_little_room", file, str(room)) as sender:
        verdicts = pickle.loads(sender.communicate()[0])  # noqa: S301  # our own
    refused, last_fits = unreachable(file, errno.EFBIG), room > 2
    assert verdicts == [ACCEPTED, refused, ACCEPTED if last_fits else refused]
    assert file.read_bytes() == b"1\n" + b"2\n" * last_fits


@pytest.mark.parametrize("taken_bytes", [4, 6])
def test_somebody_writes_between_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken_bytes: int
) -> None:
    """Of a short write that somebody wrote behind, only the event that it tears is unknown."""
    file, write = tmp_path / "x.log", os.write

    def write_some(fd: int, body: bytes) -> int:
        if len(body) != 12:
            return write(fd, body)
        with file.open("ab") as other:
            written = write(fd, body[:taken_bytes])
            other.write(b"else\n")
            return written

    monkeypatch.setattr(os, "write", write_some)
    bodies = [b"1.1\n", b"2.2\n", b"3.3\n"]
    verdicts = asyncio.run(send_together(file, *(send(file, body) for body in bodies)))
    if taken_bytes == 4:
        assert verdicts == [ACCEPTED] * 3
        assert file.read_bytes() == b"1.1\nelse\n2.2\n3.3\n"
    else:
        assert verdicts == [ACCEPTED, torn(file, "another program wrote into the line"), ACCEPTED]
        assert file.read_bytes() == b"1.1\n2.else\n3.3\n"


def test_a_shared_flush_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was not confirmed is taken back for all that were in the write."""
    file = tmp_path / "x.log"
    file.write_bytes(b"earlier\n")
    monkeypatch.setattr(os, "dup", failing(errno.EDQUOT))
    verdicts = asyncio.run(send_together(file, *(send(file) for _ in range(3))))
    assert verdicts == [unreachable(file, errno.EDQUOT)] * 3
    assert file.read_bytes() == b"earlier\n"


def test_a_path_that_cannot_be_opened(tmp_path: Path) -> None:
    """All that have lined up for a file hear why it cannot be opened."""
    path = tmp_path / "folder"
    path.mkdir()

    async def send_all() -> list[Result[Ack, Problem]]:
        return await asyncio.gather(*(send(path) for _ in range(100)))

    assert asyncio.run(send_all()) == [unreachable(path, errno.EISDIR)] * 100


def test_a_bug_is_raised_where_the_event_was_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong assumption of ours neither hides in a thread nor keeps the next event from its file."""
    file = tmp_path / "x.log"
    with monkeypatch.context() as patched:
        patched.setattr(os, "dup", lambda _: 1 / 0)
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                send_now(file)
    assert send_now(file) == ACCEPTED


def send_fork_and_send(path: str) -> None:
    """Send before and after a fork, in a program of its own."""
    assert send_now(path, b"parent\n") == ACCEPTED
    child = os.fork()
    assert send_now(path, b"parent\n" if child else b"child\n") == ACCEPTED
    if child:
        assert os.waitpid(child, 0)[1] == 0


def test_a_forked_process_sends_like_its_parent(tmp_path: Path) -> None:
    """The threads that wait for events stay behind in the parent, and the child starts its own."""
    with program("send_fork_and_send", tmp_path / "x.log") as sender:
        sender.communicate()
    assert sender.returncode == 0
    written = (tmp_path / "x.log").read_text().splitlines()
    assert sorted(written) == ["child", "parent", "parent"]


def fork_while_sending(path: str) -> None:
    """Fork in the middle of a write, and send again while the child lives, in a program of its own."""
    write = os.write

    def fork_and_write(fd: int, body: Any) -> int:
        os.write = write
        if os.fork() == 0:
            sys.stdin.read()
            os._exit(0)
        return write(fd, body)

    os.write = fork_and_write
    verdicts = [send_now(path, body) for body in (b"1\n", b"2\n")]
    sys.stdout.buffer.write(pickle.dumps(verdicts))


def test_a_forked_process_holds_no_lock(tmp_path: Path) -> None:
    """A file is unlocked after its write, though a forked process has a copy of its descriptor."""
    with program("fork_while_sending", tmp_path / "x.log") as sender:
        assert sender.stdout is not None
        assert pickle.load(sender.stdout) == [ACCEPTED] * 2  # noqa: S301  # our own
        sender.communicate()
    assert (tmp_path / "x.log").read_bytes() == b"1\n2\n"


@pytest.mark.parametrize(("idle_s", "most_idle"), [(0.0, 64), (1000.0, 0)])
def test_idle_threads_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, idle_s: float, most_idle: int
) -> None:
    """A thread ends when it is idle for long, or one of many; the next event gets another."""
    monkeypatch.setattr(lines, "_IDLE_S", idle_s)
    monkeypatch.setattr(lines, "_MOST_IDLE", most_idle)
    file = tmp_path / "x.log"
    for count in range(1, 4):
        assert send_now(file) == ACCEPTED
        for _ in range(10_000):
            if file not in lines._queues:
                break
            sleep(0.001)
        assert file not in lines._queues
        assert file.read_bytes() == LINE * count


# Log rotation


@pytest.mark.parametrize("rotate", [lambda log: log.rename(f"{log}.1"), Path.unlink])
def test_rotation_between_events(tmp_path: Path, rotate: Callable[[Path], object]) -> None:
    """After its file is renamed or deleted the next event makes a new one."""
    file = tmp_path / "x.log"
    assert send_now(file, b"1\n") == ACCEPTED
    rotate(file)
    assert send_now(file, b"2\n") == ACCEPTED
    assert file.read_bytes() == b"2\n"


def test_rotation_by_truncating(tmp_path: Path) -> None:
    """After its file is emptied the next event stands at its start."""
    file = tmp_path / "x.log"
    assert send_now(file, b"1\n") == ACCEPTED
    os.truncate(file, 0)
    assert send_now(file, b"2\n") == ACCEPTED
    assert file.read_bytes() == b"2\n"


def test_rotation_while_an_event_waits_for_the_lock(tmp_path: Path) -> None:
    """An event that waits for a file follows its name to the new one."""
    file, rotated = tmp_path / "x.log", tmp_path / "x.log.1"
    file.touch()

    async def rotate_meanwhile() -> Result[Ack, Problem]:
        writer = open_writer(File(path=str(file)), Network())
        pushed = await SINK.push(payload(), writer, Network(), Deadline.within(30))
        file.rename(rotated)
        return await then(pushed, lambda pending: pending())

    with file.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert asyncio.run(rotate_meanwhile()) == ACCEPTED
    assert (file.read_bytes(), rotated.read_bytes()) == (LINE, b"")


def test_rotation_between_opening_and_locking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event never goes into a file that was renamed before it was locked."""
    file, rotated = tmp_path / "x.log", tmp_path / "x.log.1"

    def rotate_first(lock: Callable[[int, int], object], fd: int) -> bool:
        if not rotated.exists():
            file.rename(rotated)
        return True

    monkeypatch.setattr(files, "claim", rotate_first)
    assert send_now(file) == ACCEPTED
    assert (file.read_bytes(), rotated.read_bytes()) == (LINE, b"")


# Deadlines


def hold_lock(path: str) -> None:
    """Lock a file until standard input ends, in a program of its own."""
    with Path(path).open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        os.write(1, b"held\n")
        sys.stdin.read()


def test_a_lock_that_another_process_holds(tmp_path: Path) -> None:
    """An event that does not get the lock in time is not written, not even later."""
    file = tmp_path / "x.log"
    file.touch()
    with program("hold_lock", file) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert asyncio.run(send(file, b"late\n", within_s=SHORT_S)) == timed_out(file)
        holder.communicate()
    assert send_now(file) == ACCEPTED
    assert file.read_bytes() == LINE


def test_events_behind_a_write_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What hangs after it has begun may arrive; what waits behind it is withdrawn and forgotten."""
    file, begun, go_on = tmp_path / "x.log", Event(), Event()
    write = os.write

    def hang(fd: int, body: bytes) -> int:
        if body == b"hangs\n":
            begun.set()
            go_on.wait()
        return write(fd, body)

    async def send_both() -> list[Result[Ack, Problem]]:
        hanging = asyncio.ensure_future(send(file, b"hangs\n", within_s=BEGUN_S))
        await asyncio.to_thread(begun.wait)
        late = await send(file, b"late\n", within_s=SHORT_S)
        return [await hanging, late]

    monkeypatch.setattr(os, "write", hang)
    unknown = OutcomeUnknown(quote(str(file)), f"within {BEGUN_S}s", 1)
    assert asyncio.run(send_both()) == [Failure(unknown), timed_out(file)]
    assert lines._queues[file].waiting == {}
    go_on.set()
    assert send_now(file) == ACCEPTED
    assert file.read_bytes() == b"hangs\n" + LINE


def test_a_cancelled_wait_withdraws_the_event(tmp_path: Path) -> None:
    """An event that nobody waits for any more is not written."""
    file = tmp_path / "x.log"
    file.touch()

    async def cancel() -> None:
        sending = asyncio.ensure_future(send(file, b"cancelled\n"))
        await asyncio.sleep(0)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending

    with file.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        asyncio.run(cancel())
    assert send_now(file) == ACCEPTED
    assert file.read_bytes() == LINE


# Errors of the operating system


def send_with_little_room(path: str, limit: str) -> None:
    """Send where no file may grow beyond *limit*, in a program of its own; prints the verdicts."""
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), most))
    verdicts = [send_now(path, b"x" * 100 + b"\n"), send_now(path, b"fits\n")]
    sys.stdout.buffer.write(pickle.dumps(verdicts))


@pytest.mark.parametrize("room", [0, 1, 100])
def test_a_short_write_is_cut_back(tmp_path: Path, room: int) -> None:
    """A file that cannot take the whole event keeps what it had, and takes the next that fits."""
    file = tmp_path / "x.log"
    earlier = b"earlier\n" * 1000
    file.write_bytes(earlier)
    fits = room >= len(b"fits\n")
    limit = str(len(earlier) + room)
    with program("send_with_little_room", file, limit) as sender:
        verdicts = pickle.loads(sender.communicate()[0])  # noqa: S301  # our own
    refused = unreachable(file, errno.EFBIG)
    assert verdicts == [refused, ACCEPTED if fits else refused]
    assert file.read_bytes() == earlier + b"fits\n" * fits


def test_a_torn_line_that_somebody_wrote_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A short write is not cut back at the price of somebody else's line."""
    file = tmp_path / "x.log"
    write = os.write

    def fill_up(fd: int, body: bytes) -> int:
        if body != LINE:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = write(fd, body[:4])
        with file.open("ab") as other:
            other.write(b"somebody else's\n")
        return written

    monkeypatch.setattr(os, "write", fill_up)
    assert send_now(file) == torn(file, "another program wrote into the line")
    assert file.read_bytes() == LINE[:4] + b"somebody else's\n"


def test_a_flush_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An event that the system took and then lost is taken back."""
    file = tmp_path / "x.log"
    file.write_bytes(b"earlier\n")
    monkeypatch.setattr(os, "dup", failing(errno.EDQUOT))
    assert send_now(file) == unreachable(file, errno.EDQUOT)
    assert file.read_bytes() == b"earlier\n"


def test_a_flush_that_fails_where_nothing_can_be_cut_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event that the system may have lost, and that cannot be taken back, is unknown."""
    file = tmp_path / "x.log"
    monkeypatch.setattr(os, "dup", failing(errno.EDQUOT))
    monkeypatch.setattr(os, "ftruncate", failing(errno.EPERM))
    assert send_now(file) == torn(file, os.strerror(errno.EDQUOT))
    assert file.read_bytes() == LINE


def test_a_flush_that_fails_when_somebody_wrote_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event is not taken back at the price of somebody else's line."""
    file = tmp_path / "x.log"

    def write_behind(fd: int) -> int:
        with file.open("ab") as other:
            other.write(b"somebody else's\n")
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr(os, "dup", write_behind)
    assert send_now(file) == torn(file, os.strerror(errno.EDQUOT))
    assert file.read_bytes() == LINE + b"somebody else's\n"


def test_a_full_device(tmp_path: Path) -> None:
    """The system's own words say why nothing was written."""
    assert send_now("/dev/full") == unreachable("/dev/full", errno.ENOSPC)


def test_a_device_that_takes_all() -> None:
    """The library may write to a device."""
    assert send_now("/dev/null") == ACCEPTED


def test_a_fifo_without_a_reader(tmp_path: Path) -> None:
    """A FIFO that nobody reads is an error at once."""
    os.mkfifo(tmp_path / "fifo")
    assert send_now(tmp_path / "fifo") == unreachable(tmp_path / "fifo", errno.ENXIO)


def test_a_fifo_with_a_reader(tmp_path: Path) -> None:
    """A reader of a FIFO gets lines whole that are longer than the room in the pipe."""
    fifo, copy, body = tmp_path / "fifo", tmp_path / "copy", b"x" * 300_000 + b"\n"
    os.mkfifo(fifo)
    with (
        copy.open("wb") as sink,
        subprocess.Popen(["cat", fifo], stdout=sink),
        fifo.open("wb"),  # waits for the reader, and keeps it reading
    ):
        assert [send_now(fifo), send_now(fifo, body)] == [ACCEPTED, ACCEPTED]
    assert copy.read_bytes() == LINE + body


def test_a_fifo_without_room(tmp_path: Path) -> None:
    """An event that does not fit into a FIFO in time is withdrawn before its first byte."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(reader, "rb") as reading, fifo.open("wb", buffering=0) as writing:
        os.set_blocking(writing.fileno(), False)
        room = 0
        while written := writing.write(b"." * 4096):
            room += written
        assert asyncio.run(send(fifo, within_s=SHORT_S)) == timed_out(fifo)
        assert reading.read(room) == b"." * room
        assert send_now(fifo) == ACCEPTED
        assert reading.read(len(LINE)) == LINE


@pytest.mark.parametrize("confined", [False, True])
@pytest.mark.parametrize("name", ["", "folder", "folder/", "new/", "new/.", "folder/.."])
def test_a_folder(root: Path, name: str, *, confined: bool) -> None:
    """A path that names a folder is an error of the system's, and creates nothing."""
    (root / "folder").mkdir()
    path = f"{root}/{name}"
    refused = unreachable(path, errno.EISDIR)
    assert send_now(path, root=root if confined else None) == refused
    assert list(root.iterdir()) == [root / "folder"]


@pytest.mark.parametrize("confined", [False, True])
def test_a_file_where_a_folder_should_be(root: Path, *, confined: bool) -> None:
    """A path that goes through a file is an error of the system's."""
    (root / "file").touch()
    path = root / "file" / "x.log"
    assert send_now(path, root=root if confined else None) == unreachable(path, errno.ENOTDIR)


def test_a_path_is_shown_on_one_line(tmp_path: Path) -> None:
    """A problem shows a path as JSON, so that it cannot forge lines of a log."""
    (tmp_path / "a\nb").mkdir()
    problem = send_now(tmp_path / "a\nb").failure()
    assert str(problem) == f'sink error: write to "{tmp_path}/a\\nb": Is a directory'


# Durable storage


def test_fsync_makes_the_file_and_its_way_durable(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folders that got a new entry are on durable storage before the file is."""
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.fstat(fd).st_ino))
    file = root / "a" / "b" / "x.log"
    for access_policy in (None, root):
        synced.clear()
        assert send_now(file, root=access_policy, fsync=True) == STORED
        writer = [root, root / "a", root / "a/b", file]
        assert synced == [step.stat().st_ino for step in writer]
        file.unlink()
        (root / "a/b").rmdir()
        (root / "a").rmdir()


def test_fsync_for_real(tmp_path: Path) -> None:
    """With fsync the receipt says that the event is stored."""
    assert [send_now(tmp_path / "x.log", fsync=True) for _ in range(2)] == [STORED, STORED]
    assert (tmp_path / "x.log").read_bytes() == LINE * 2


def test_fsync_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An event that did not reach durable storage is taken back."""
    file, fsync = tmp_path / "x.log", os.fsync
    file.write_bytes(b"earlier\n")

    def fail_for_files(fd: int) -> None:
        if stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", fail_for_files)
    assert send_now(file, fsync=True) == unreachable(file, errno.EIO)
    assert file.read_bytes() == b"earlier\n"


def test_fsync_of_a_device() -> None:
    """A device that has no durable storage refuses before anything is written."""
    assert send_now("/dev/null", fsync=True) == unreachable("/dev/null", errno.EINVAL)


# What a server may touch


@pytest.mark.parametrize(
    "path",
    ["../x.log", "../based/x.log", "new/../../x.log", "/x.log", "../", "new/folder/../../.."],
)
def test_paths_that_leave_the_root(root: Path, path: str) -> None:
    """No path gets out of the root, and none creates anything on its way."""
    assert send_now(path, root=root) == outside(path)
    assert sorted(root.parent.rglob("*")) == [root, root.parent / "based"]


@pytest.mark.parametrize("path", ["link", "link/x.log", "link/new/x.log", "dangling", "dangling/x"])
def test_symbolic_links_that_leave_the_root(root: Path, path: str) -> None:
    """No link gets out of the root, whether it leads to something or not."""
    elsewhere = root.parent / "based"
    (root / "link").symlink_to(elsewhere)
    (root / "dangling").symlink_to(elsewhere / "missing")
    assert send_now(path, root=root) == outside(path)
    assert list(elsewhere.iterdir()) == []


def test_paths_that_stay_in_the_root(root: Path) -> None:
    """Links and dots are fine as long as they lead to a file below the root."""
    (root / "a").mkdir()
    (root / "current.log").symlink_to("a/x.log")
    (root / "up").symlink_to("..")
    (root.parent / "alias").symlink_to(root)
    paths: list[str | Path] = [
        "a/x.log",
        "current.log",
        "a/../a/x.log",
        "up/base/a/x.log",
        root.parent / "alias/a/x.log",
    ]
    assert [send_now(path, root=root) for path in paths] == [ACCEPTED] * len(paths)
    assert send_now("a/x.log", root=root.parent / "alias") == ACCEPTED
    assert (root / "a/x.log").read_bytes() == LINE * (len(paths) + 1)


@pytest.mark.parametrize("path", ["/dev/null", "/dev/full"])
def test_devices_are_forbidden_whatever_the_root(path: str) -> None:
    """A server does not write to devices."""
    assert send_now(path, root=Path("/")) == special(path)


def test_fifos_and_sockets_are_forbidden(root: Path) -> None:
    """A server does not write to what is no regular file, with or without a reader."""
    os.mkfifo(root / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(root / "socket"))
        verdicts = [send_now(name, root=root) for name in ("fifo", "socket")]
    assert verdicts == [special("fifo"), special("socket")]


def test_the_whole_system_may_be_the_root(tmp_path: Path) -> None:
    """With `/` as its root a server writes to every regular file."""
    assert send_now(tmp_path / "new/x.log", root=Path("/")) == ACCEPTED
    assert (tmp_path / "new/x.log").read_bytes() == LINE


def test_a_link_that_is_put_there_before_the_file_is_opened(root: Path) -> None:
    """Between the check and the opening no link leads out of the root."""
    elsewhere = root.parent / "based"
    (root / "folder").symlink_to(elsewhere)
    (root / "name").symlink_to(elsewhere / "x.log")
    for writer in [("folder", "x.log"), ("folder", "new", "x.log"), ("name",)]:
        with pytest.raises(OSError, match=r"Not a directory|Too many levels"):
            files._open_below(root, writer, fsync=False)
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("name", ["a", "a/x.log"])
def test_a_link_that_wins_the_race_is_forbidden(
    root: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """What turns out to lead elsewhere while it is opened is what the operator does not allow."""
    elsewhere = root.parent / "based"
    open_below = files._open_below

    def swap_first(*writer: Any, fsync: bool) -> int:
        place = root / name
        if not place.is_symlink():
            shutil.rmtree(place) if place.is_dir() else place.unlink()
            place.symlink_to(elsewhere if name == "a" else elsewhere / "x.log")
        return open_below(*writer, fsync=fsync)

    (root / "a").mkdir(exist_ok=True)
    (root / "a/x.log").touch()
    monkeypatch.setattr(files, "_open_below", swap_first)
    assert send_now("a/x.log", root=root) == outside("a/x.log")
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("seen_as", [None, "moved"])
def test_a_link_that_is_put_there_after_the_file_was_opened(
    root: Path, monkeypatch: pytest.MonkeyPatch, seen_as: str | None
) -> None:
    """A file is not written to that the path no longer leads to, or only by way of the outside."""
    elsewhere = root.parent / "based"
    (elsewhere / "x.log").touch()
    moved = root / "b" if seen_as is None else elsewhere / seen_as
    seen = elsewhere if seen_as is None else moved

    def swap_first(lock: Callable[[int, int], object], fd: int) -> bool:
        (root / "a").rename(moved)
        (root / "a").symlink_to(seen)
        return True

    monkeypatch.setattr(files, "claim", swap_first)
    assert send_now("a/x.log", root=root) == outside("a/x.log")
    assert [(seen / "x.log").read_bytes(), (moved / "x.log").read_bytes()] == [b"", b""]


# The record of the sink


def test_a_line_feed_ends_an_event() -> None:
    """The sink is one of those where no line feed may stand inside an event."""
    assert SINK.ends_with_lf(File(path="x.log"))
