"""The `stdout` sink in programs of its own, whose standard output is a real pipe or file."""

from __future__ import annotations

import asyncio
import errno
import io
import os
import pickle
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

import pytest
from returns.result import Failure, Result, Success

from sonda.pipeline.deadline import Deadline
from sonda.pipeline.model import Ack, Confirmed, Payload
from sonda.pipeline.net import Network
from sonda.pipeline.problems import OutcomeUnknown, Problem, Unreachable
from sonda.pipeline.result import then
from sonda.pipeline.sinks.stdout import SINK, Stdout
from tests.support.events import record

LINE: Final = b'{"message":"Deploy started"}\n'
LONG: Final = b"x" * 300_000 + b"\n"  # more than a pipe has room for
SHORT_S: Final = 1.5  # in which a write has begun, on a busy machine, too
HANDED_OFF: Final = Success(Ack(Confirmed.HANDED_OFF))
TIMED_OUT: Final = Failure(Unreachable("write to stdout", f"timed out after {SHORT_S}s"))
LATE: Final = Failure(OutcomeUnknown("stdout", f"within {SHORT_S}s", 1))


async def send(body: bytes = LINE, *, within_s: float = 30.0) -> Result[Ack, Problem]:
    """Push and flush one event."""
    payload = Payload(record(time_ns=1), "json_lines", "application/x-ndjson", body)
    pushed = await SINK.push(payload, Stdout(), Network(), Deadline.within(within_s))
    return await then(pushed, lambda pending: pending())


def send_now(body: bytes = LINE, *, within_s: float = 30.0) -> Result[Ack, Problem]:
    """Push and flush one event in a loop of its own."""
    return asyncio.run(send(body, within_s=within_s))


def unreachable(code: int) -> Failure[Problem]:
    """Expect an error of the operating system."""
    return Failure(Unreachable("write to stdout", os.strerror(code)))


def torn(code: int) -> Failure[Problem]:
    """Expect an error of the operating system in the middle of the event."""
    return Failure(OutcomeUnknown("stdout", f"({os.strerror(code)})", 1))


@contextmanager
def program(name: str, stdout: IO[bytes] | int = subprocess.PIPE) -> Iterator[Program]:
    """Run a function of this module in a process of its own."""
    call = f"from {__name__} import *; {name}()"
    with subprocess.Popen(
        [sys.executable, "-c", call],
        stdin=subprocess.PIPE,
        stdout=stdout,
        stderr=subprocess.PIPE,
        env={
            **os.environ,
            "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
            "PYTHONUNBUFFERED": "",
        },
    ) as process:
        try:
            yield Program(process)
        finally:
            process.kill()


class Program:
    """A running program: what it sends, and what it tells about it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin
        assert process.stderr
        self.process = process
        self._stdin, self._stderr = process.stdin, process.stderr

    @property
    def stdout(self) -> IO[bytes]:
        """The reading end of its standard output."""
        assert self.process.stdout
        return self.process.stdout

    def verdict(self) -> Result[Ack, Problem]:
        """Wait for what it tells next."""
        verdict: Result[Ack, Problem] = self.told()
        return verdict

    def told(self) -> Any:
        """Wait for whatever it tells next."""
        return pickle.load(self._stderr)  # noqa: S301  # our own

    def wait_until_ready(self) -> None:
        """Wait for its `ready`."""
        assert self._stderr.read(1) == b"."

    def go_on(self) -> None:
        """End the wait of its `wait`."""
        self._stdin.write(b"\n")
        self._stdin.flush()

    def exits(self) -> bool:
        """Tell whether it comes to its end, with nothing more to tell."""
        return self.process.wait(timeout=120) == 0 and self._stderr.read() == b""


def deliver_result(verdict: Result[Ack, Problem]) -> None:
    """Say what came out, in a program of its own."""
    sys.stderr.buffer.write(pickle.dumps(verdict))
    sys.stderr.flush()


def ready() -> None:
    """Say that the test may go on, in a program of its own."""
    os.write(2, b".")


def wait() -> None:
    """Wait for the test, in a program of its own."""
    sys.stdin.readline()


def fill_pipe() -> int:
    """Leave no room in the pipe, in a program of its own; gives how much there was."""
    room = 0
    os.set_blocking(1, False)
    try:
        while True:
            room += os.write(1, b".")
    except BlockingIOError:
        os.set_blocking(1, True)
        return room


# What arrives


def print_and_send() -> None:
    """Print, send, print."""
    sys.stdout.write("before\n")
    deliver_result(send_now())
    sys.stdout.write("after\n")


def test_events_stand_among_what_the_program_prints() -> None:
    """An event follows what the program printed before it, and is followed by what it prints after."""
    with program("print_and_send") as sender:
        assert sender.verdict() == HANDED_OFF
        assert sender.stdout.read() == b"before\n" + LINE + b"after\n"
        assert sender.exits()


def send_long() -> None:
    """Send an event longer than the pipe."""
    deliver_result(send_now(LONG))


def test_a_slow_reader_gets_the_whole_line() -> None:
    """An event longer than a pipe has room for arrives whole, however slowly it is read."""
    with program("send_long") as sender:
        pieces = iter(lambda: os.read(sender.stdout.fileno(), 1000), b"")
        assert b"".join(pieces) == LONG
        assert sender.verdict() == HANDED_OFF
        assert sender.exits()


def send_long_without_blocking() -> None:
    """Send where another program has made the pipe non-blocking."""
    os.set_blocking(1, False)
    deliver_result(send_now(LONG))


def test_a_pipe_that_does_not_block() -> None:
    """Whoever shares the pipe may have made it non-blocking."""
    with program("send_long_without_blocking") as sender:
        assert sender.stdout.read() == LONG
        assert sender.verdict() == HANDED_OFF
        assert sender.exits()


MANY: Final = [b"%d" % n * 200_000 + b"\n" for n in range(10)]


def send_many() -> None:
    """Send long lines all at once."""

    async def send_all() -> None:
        for verdict in await asyncio.gather(*map(send, MANY)):
            deliver_result(verdict)

    ready()
    wait()
    asyncio.run(send_all())


def test_processes_and_events_take_turns() -> None:
    """Long lines that two processes send at once through one pipe stay whole."""
    reading, writing = os.pipe()
    with program("send_many", writing) as one, program("send_many", writing) as other:
        os.close(writing)
        one.wait_until_ready()
        other.wait_until_ready()
        one.go_on()
        other.go_on()
        pieces = iter(lambda: os.read(reading, 4096), b"")
        lines = b"".join(pieces).splitlines(keepends=True)
        os.close(reading)
        for sender in (one, other):
            assert [sender.verdict() for _ in MANY] == [HANDED_OFF] * len(MANY)
            assert sender.exits()
    assert sorted(lines) == sorted(2 * MANY)


# Events that share a write

FEW: Final = [b"%d" % n * 199 + b"\n" for n in range(10)] * 10


def send_together() -> None:
    """Line events up behind a full pipe, and tell with what writes they went."""
    written = []
    write = os.write

    def record_write(fd: int, body: Any) -> int:
        if fd == 1:
            written.append(body)
        return write(fd, body)

    async def send_all() -> None:
        sending = asyncio.gather(*map(send, FEW))
        await asyncio.sleep(0)
        ready()
        for verdict in await sending:
            deliver_result(verdict)

    fill_pipe()
    os.write = record_write
    asyncio.run(send_all())
    sys.stderr.buffer.write(pickle.dumps(written))


def test_events_share_writes_that_nobody_can_write_into() -> None:
    """Only whole lines go together, and no more than a pipe takes in one piece."""
    with program("send_together") as sender:
        sender.wait_until_ready()
        assert sender.stdout.read().lstrip(b".") == b"".join(FEW)
        assert [sender.verdict() for _ in FEW] == [HANDED_OFF] * len(FEW)
        written = sender.told()
        assert sender.exits()
    assert b"".join(written) == b"".join(FEW)
    assert [len(piece) for piece in written] == [4000] * 5


def send_short_behind_long() -> None:
    """Send an event that does not fit into the pipe, and two behind it."""

    async def send_all() -> None:
        for verdict in await asyncio.gather(send(LONG), send(), send()):
            deliver_result(verdict)

    asyncio.run(send_all())


def test_a_neighbour_that_is_torn() -> None:
    """When the reader goes away in the middle of an event, those behind it were not touched."""
    with program("send_short_behind_long") as sender:
        assert os.read(sender.stdout.fileno(), 1) == b"x"
        sender.stdout.close()
        verdicts = [sender.verdict() for _ in range(3)]
        assert verdicts == [torn(errno.EPIPE), *[unreachable(errno.EPIPE)] * 2]
        assert sender.exits()


def send_behind_a_torn_one() -> None:
    """Send an event that does not fit into the pipe, and two that cannot wait for long."""

    async def send_all() -> None:
        long = asyncio.ensure_future(send(LONG))
        short = [send(b"late\n", within_s=SHORT_S) for _ in range(2)]
        for verdict in await asyncio.gather(*short):
            deliver_result(verdict)
        ready()
        deliver_result(await long)

    asyncio.run(send_all())


def test_a_neighbour_that_takes_long() -> None:
    """Those behind a torn line are withdrawn at their own deadlines, and never come."""
    with program("send_behind_a_torn_one") as sender:
        assert [sender.verdict(), sender.verdict()] == [TIMED_OUT, TIMED_OUT]
        sender.wait_until_ready()
        assert sender.stdout.read() == LONG
        assert sender.verdict() == HANDED_OFF
        assert sender.exits()


# A reader that does not read


def send_to_a_reader_that_does_not_read() -> None:
    """Send what has room in part, and one behind it, and then exit."""
    deliver_result(send_now(LONG, within_s=SHORT_S))
    deliver_result(send_now(within_s=SHORT_S))


def test_a_reader_that_never_reads() -> None:
    """A torn line is unknown, the event behind it withdrawn, and neither keeps the process alive."""
    with program("send_to_a_reader_that_does_not_read") as sender:
        assert [sender.verdict(), sender.verdict()] == [LATE, TIMED_OUT]
        assert sender.exits()


def send_to_a_reader_that_pauses() -> None:
    """Send a torn line and two events behind it, the second once the reader goes on."""
    deliver_result(send_now(LONG, within_s=SHORT_S))
    deliver_result(send_now(b"withdrawn\n", within_s=SHORT_S))
    wait()
    deliver_result(send_now())


def test_a_reader_that_pauses() -> None:
    """The rest of a torn line comes before anything else, and what was withdrawn never comes."""
    with program("send_to_a_reader_that_pauses") as sender:
        assert [sender.verdict(), sender.verdict()] == [LATE, TIMED_OUT]
        sender.go_on()
        assert sender.stdout.read() == LONG + LINE
        assert sender.verdict() == HANDED_OFF
        assert sender.exits()


def send_into_a_full_pipe() -> None:
    """Send where there is no room for a byte, and again once there is."""
    room = fill_pipe()
    deliver_result(send_now(b"withdrawn\n", within_s=SHORT_S))
    deliver_result(asyncio.run(cancel()))
    wait()
    deliver_result(send_now(b"%d\n" % room))


async def cancel() -> Result[Ack, Problem]:
    """Stop waiting for an event right after it was pushed."""
    sending = asyncio.ensure_future(send(b"cancelled\n"))
    await asyncio.sleep(0)
    sending.cancel()
    await asyncio.wait([sending])
    return HANDED_OFF if not sending.cancelled() else TIMED_OUT


def test_a_full_pipe() -> None:
    """An event of which no byte could be written in time is never written, nor a cancelled one."""
    with program("send_into_a_full_pipe") as sender:
        assert [sender.verdict(), sender.verdict()] == [TIMED_OUT, TIMED_OUT]
        sender.go_on()
        dots, room = sender.stdout.read().rsplit(b".", 1)
        assert room == b"%d\n" % (len(dots) + 1)
        assert sender.verdict() == HANDED_OFF
        assert sender.exits()


# A reader that goes away


def send_twice_when_told() -> None:
    """Send two events once the test has closed its end."""
    wait()
    deliver_result(send_now())
    deliver_result(send_now())


def test_no_reader() -> None:
    """Without a reader no byte leaves."""
    with program("send_twice_when_told") as sender:
        sender.stdout.close()
        sender.go_on()
        assert [sender.verdict(), sender.verdict()] == [unreachable(errno.EPIPE)] * 2
        assert sender.exits()


def test_a_reader_that_goes_away_in_the_middle() -> None:
    """What a reader has got before it goes away, nobody knows."""
    with program("send_long") as sender:
        assert os.read(sender.stdout.fileno(), 1) == b"x"
        sender.stdout.close()
        assert sender.verdict() == torn(errno.EPIPE)
        assert sender.exits()


# Standard output that is no pipe


def send_with_little_room() -> None:
    """Send to a file that cannot grow as long as the first event."""
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, most))
    deliver_result(send_now(b"x" * 100 + b"\n"))
    deliver_result(send_now(b"fits\n"))


@pytest.mark.parametrize("mode", ["wb", "ab"])
def test_a_file_that_is_full(tmp_path: Path, mode: str) -> None:
    """A short write to a redirected output is cut back, and leaves no gap."""
    with (tmp_path / "out").open(mode) as out:
        out.write(b"earlier\n")
        out.flush()
        with program("send_with_little_room", out) as sender:
            assert [sender.verdict(), sender.verdict()] == [unreachable(errno.EFBIG), HANDED_OFF]
            assert sender.exits()
    assert (tmp_path / "out").read_bytes() == b"earlier\nfits\n"


def send_short() -> None:
    """Send one event."""
    deliver_result(send_now())


def test_a_full_device() -> None:
    """The system's own words say why nothing was written."""
    with Path("/dev/full").open("wb") as full, program("send_short", full) as sender:
        assert sender.verdict() == unreachable(errno.ENOSPC)
        assert sender.exits()


def close_and_send() -> None:
    """Send when there is no output any more."""
    sys.stdout.close()
    deliver_result(send_now())


def test_an_output_that_is_closed() -> None:
    """A program that has closed its output cannot send to it."""
    with program("close_and_send") as sender:
        assert sender.verdict() == unreachable(errno.EBADF)
        assert sender.exits()


def close_while_an_event_waits() -> None:
    """Send into a full pipe, and close it."""

    async def close_meanwhile() -> Result[Ack, Problem]:
        fill_pipe()
        sending = asyncio.ensure_future(send())
        await asyncio.sleep(0)
        sys.stdout.close()
        ready()
        return await sending

    deliver_result(asyncio.run(close_meanwhile()))


def test_an_output_that_is_closed_meanwhile() -> None:
    """An event that waits for an output which the program then closes is not sent."""
    with program("close_while_an_event_waits") as sender:
        sender.wait_until_ready()
        assert sender.stdout.read().strip(b".") == b""
        assert sender.verdict() == unreachable(errno.EBADF)
        assert sender.exits()


# What stands in for it


def test_a_stand_in(capsys: pytest.CaptureFixture[str]) -> None:
    """What replaces `sys.stdout`, as a notebook does, gets the event as text."""
    assert send_now("Größe\n".encode()) == HANDED_OFF
    assert capsys.readouterr().out == "Größe\n"


def test_no_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program without any output cannot send to it."""
    monkeypatch.setattr(sys, "stdout", None)
    assert send_now() == unreachable(errno.EBADF)


def test_a_closed_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in that is closed is no output."""
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    sys.stdout.close()
    assert send_now() == unreachable(errno.EBADF)


def test_a_stand_in_that_lacks_a_character(monkeypatch: pytest.MonkeyPatch) -> None:
    """An event that the stand-in cannot encode is not written."""
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    reason = "'ascii' codec can't encode characters in position 2-3: ordinal not in range(128)"
    assert send_now("Größe\n".encode()) == Failure(Unreachable("write to stdout", reason))
    assert raw.getvalue() == b""


def test_a_stand_in_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an event that a stand-in did not get rid of, it may keep a part for later."""

    class Full(io.StringIO):
        def flush(self) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(sys, "stdout", Full())
    assert send_now() == torn(errno.ENOSPC)


def test_a_line_feed_ends_an_event() -> None:
    """The sink is one of those where no line feed may stand inside an event."""
    assert SINK.ends_with_lf(Stdout())
