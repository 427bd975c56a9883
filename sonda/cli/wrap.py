"""`sonda wrap`: an event when a command starts, and one when it ends."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, TextIO

import click

from sonda.cli import options
from sonda.cli.interruption import SIGNALS, restore_default_signals
from sonda.cli.params import missing_destination, with_options

if TYPE_CHECKING:
    from types import FrameType

_NOT_FOUND: Final = 127  # as shells have it
_NOT_EXECUTABLE: Final = 126
_KILLED: Final = 128  # plus the number of the signal
_INTERRUPTED: Final = 130  # as after Ctrl-C
_LAST_LINE_CHARACTERS: Final = 1000
_CHUNK_BYTES: Final = 64 * 1024
_LINGER_S: Final = 0.25
_LATEST_SIGNAL_S: Final = 0.2
_TRACE: Final = "TRACEPARENT"
_EXAMPLES: Final = """\b
sonda wrap --to loki=http://loki:3100 --name deploy -- ./deploy.sh
"""


@click.command(
    epilog=_EXAMPLES, no_args_is_help=True, context_settings={"allow_interspersed_args": False}
)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@options.option("--name", help="What the events call the command.  [default: its file's name]")
@with_options(options.LABEL, options.FIELD, options.TO, *options.HOW, options.SERVER)
@options.option(
    "--strict", is_flag=True, help="Fail, with status 1 at least, where an event was not delivered."
)
def wrap(
    command: tuple[str, ...],
    name: str | None,
    labels: Mapping[str, str],
    fields: Mapping[str, str],
    to: tuple[str, ...],
    server: str | None,
    strict: bool,
    **given: Any,
) -> None:
    """Run COMMAND, with a log event at its start and one at its end.

    The status is COMMAND's own. An event that is not delivered is told on standard error, and
    fails nothing unless --strict is given. A signal before COMMAND starts ends wrap with 130.
    """
    from sonda.cli.destinations import Options, destinations
    from sonda.cli.emit import choose_senders

    if not to:
        raise missing_destination()
    how = Options(**given, names_are_servers=server is not None)
    chosen = destinations(to, how)
    called = name or os.path.basename(command[0])  # noqa: PTH119  # of what was typed, a path or not
    trace = {"traceparent": os.environ[_TRACE]} if os.environ.get(_TRACE) else {}
    choose_senders(server, how)  # what was typed wrong is said before anything runs
    shared = {**trace, **fields}
    interruptions: list[bool] = []

    def report(severity: str, message: str, more: Mapping[str, str]) -> bool:
        log = {"severity": severity, "message": message, "fields": {**shared, **more}}
        event = {"signal_type": "logs", "labels": {"name": called, **labels}, "log": log}
        try:
            return _deliver(event, chosen, how, server, interruptions)
        except Exception as exc:  # noqa: BLE001  # the command's own status counts, whatever is wrong here
            with suppress(OSError):
                click.echo(f"sonda wrap: {type(exc).__name__}: {exc}", err=True)
            return False

    delivered = report("info", f"{called} started", {"event": "start"})
    if interruptions:
        sys.exit(_INTERRUPTED)
    began_s = monotonic()
    status, last_line = run(command)
    took = {
        "event": "end",
        "status": str(status),
        "duration_ms": f"{(monotonic() - began_s) * 1000:.0f}",
    }
    if status == 0:
        delivered &= report("info", f"{called} succeeded", took)
    else:
        more = {**took, "last_line": last_line} if last_line else took
        delivered &= report("error", f"{called} failed with status {status}", more)
    sys.exit(status or (1 if strict and not delivered else 0))


def run(command: Sequence[str]) -> tuple[int, str]:
    """Run a command; return its status as a shell has it, and the last line it wrote.

    Signals go to the command, which decides what they mean. Its output passes through unchanged.
    """
    restore_default_signals()
    streams = [_Stream(*os.pipe(), target) for target in (sys.stdout, sys.stderr)]
    with _passing_on() as signals:
        try:
            child = subprocess.Popen(command, stdout=streams[0].end, stderr=streams[1].end)  # noqa: S603  # what was typed
        except OSError as exc:
            reason = f"{command[0]}: {exc.strerror}"
            click.echo(reason, err=True)
            missing = isinstance(exc, FileNotFoundError)
            return (_NOT_FOUND if missing else _NOT_EXECUTABLE), reason
        finally:
            for stream in streams:
                os.close(stream.end)  # the command's own copy keeps it open
        signals.go_to(child)
        copying = [threading.Thread(target=stream.copy, daemon=True) for stream in streams]
        for thread in copying:
            thread.start()
        status = _wait(child)
        for stream, thread in zip(streams, copying, strict=True):
            stream.finish(thread)
    latest = max(streams, key=lambda stream: stream.written_s)
    line = latest.last_line.decode(errors="replace")[:_LAST_LINE_CHARACTERS]
    return (status if status >= 0 else _KILLED - status), line


def _wait(child: subprocess.Popen[bytes]) -> int:
    """Wait until a command has ended, and return its status.

    A signal that arrives just before a blocking system call does not interrupt it, and its handler
    would not run before the command's end. So another thread blocks, and this one wakes up at times.
    """
    waiting = threading.Thread(target=child.wait, daemon=True)
    waiting.start()
    while waiting.is_alive():
        waiting.join(_LATEST_SIGNAL_S)
    return child.wait()


@dataclass
class _Signals:
    """Signals on their way to a command, kept while it is being started."""

    child: subprocess.Popen[bytes] | None = None
    early: list[int] = field(default_factory=list)

    def handle(self, number: int, _frame: FrameType | None) -> None:
        # A terminal has sent Ctrl-C to the command as well: it need not get it twice.
        if self.child is None:
            self.early.append(number)
        elif number != signal.SIGINT or not sys.stdin.isatty():
            self.child.send_signal(number)

    def go_to(self, child: subprocess.Popen[bytes]) -> None:
        """Send what came early, and all that comes from now on."""
        self.child = child
        for number in self.early:
            self.handle(number, None)


@contextmanager
def _passing_on() -> Iterator[_Signals]:
    """Handle the signals that are not ignored, for as long as the command runs."""
    signals = _Signals()
    before = {
        number: found
        for number in SIGNALS
        if (found := signal.getsignal(number)) is not signal.SIG_IGN
    }
    for number in before:
        signal.signal(number, signals.handle)
    try:
        yield signals
    finally:
        for number, found in before.items():
            signal.signal(number, found)


@dataclass
class _Stream:
    """A pipe from a command to one of our own streams: its source, its other end, and the target."""

    source: int
    end: int
    target: TextIO
    last_line: bytes = b""
    written_s: float = 0.0
    _chunks: int = 0
    _is_over: bool = False
    _busy: threading.Lock = field(default_factory=threading.Lock)

    def copy(self) -> None:
        """Pass on what comes, as soon as it comes, and keep its last line that is not blank."""
        kept = b""
        while self._has_more(None):
            with self._busy:
                if not (chunk := os.read(self.source, _CHUNK_BYTES)):
                    self._is_over = True
                    os.close(self.source)
                    return
                self._chunks += 1
                text = (kept + chunk).rstrip()
                if text:
                    begin = max(text.rfind(b"\n"), text.rfind(b"\r")) + 1
                    self.last_line, self.written_s = text[begin:].strip(), monotonic()
                kept = (kept + chunk).rpartition(b"\n")[2][-_CHUNK_BYTES:]
                self._write(chunk)

    def _has_more(self, within_s: float | None) -> bool:
        """Return whether there is something to read, or the end; without a time wait for it."""
        return bool(select.select([self.source], [], [], within_s)[0])

    def _write(self, chunk: bytes) -> None:
        try:
            self.target.buffer.write(chunk)
            self.target.buffer.flush()
        except (OSError, AttributeError, ValueError):
            return  # nobody reads: the command may go on

    def finish(self, copying: threading.Thread) -> None:
        """Wait until all is passed on that the command wrote.

        All of that is in the pipe by now. What the command has left in the background may hold the
        pipe open for ever: that is not waited for.
        """
        copied = -1
        while copying.is_alive():
            with self._busy:  # no chunk is read and not passed on
                if self._is_over or (copied == self._chunks and not self._has_more(0)):
                    return
                copied = self._chunks
            copying.join(_LINGER_S)


def _deliver(
    event: dict[str, Any],
    chosen: Sequence[Any],
    how: Any,
    server: str | None,
    interruptions: list[bool],
) -> bool:
    """Deliver a marker to each destination; print what went wrong, and return whether nothing did."""
    from sonda.cli.addressing import address
    from sonda.cli.emit import choose_senders
    from sonda.cli.printing import show
    from sonda.cli.reading import item
    from sonda.cli.sending import send_all
    from sonda.pipeline.deliver import now_ns

    stamped = item("", event, now_ns).event.unwrap()
    addressed = [address(stamped, one, how) for one in chosen]
    outcomes = send_all(
        addressed,
        choose_senders(server, how),
        concurrency=len(addressed),
        interrupted=lambda: interruptions.append(True),
    )
    verdicts = [("sonda wrap", outcome) for outcome in outcomes]
    return not show(verdicts, sys.stderr, as_json=False, quiet=True)
