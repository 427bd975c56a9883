"""`sonda wrap`: an event when a command starts, and one when it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import click

from sonda.cli import options
from sonda.cli.interruption import SIGNALS, restore_default_signals
from sonda.cli.params import with_options

if TYPE_CHECKING:
    from types import FrameType

_NOT_FOUND: Final = 127  # as shells have it
_NOT_EXECUTABLE: Final = 126
_KILLED: Final = 128  # plus the number of the signal
_LAST_LINE_CHARACTERS: Final = 1000
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
    fails nothing unless --strict is given.
    """
    from sonda.cli.destinations import Options, destinations

    if not to:
        raise click.MissingParameter(param_hint="'--to'", param_type="option")
    how = Options(**given, names_are_servers=server is not None)
    chosen = destinations(to, how)
    called = name or os.path.basename(command[0])  # noqa: PTH119  # of what was typed, a path or not
    trace = {"traceparent": os.environ[_TRACE]} if os.environ.get(_TRACE) else {}
    shared = {**trace, **fields}

    def report(severity: str, message: str, more: Mapping[str, str]) -> bool:
        log = {"severity": severity, "message": message, "fields": {**shared, **more}}
        event = {"signal_type": "logs", "labels": {"name": called, **labels}, "log": log}
        return _deliver(event, chosen, how, server)

    delivered = report("info", f"{called} started", {"event": "start"})
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
    try:
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # noqa: S603  # what was typed
    except OSError as exc:
        reason = f"{command[0]}: {exc.strerror}"
        click.echo(reason, err=True)
        missing = isinstance(exc, FileNotFoundError)
        return (_NOT_FOUND if missing else _NOT_EXECUTABLE), reason
    last: dict[str, bytes] = {"line": b""}
    streams = ((child.stdout, sys.stdout), (child.stderr, sys.stderr))
    copying = [
        threading.Thread(target=_copy, args=(source, target, last), daemon=True)
        for source, target in streams
    ]
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def pass_on(number: int, _frame: FrameType | None) -> None:
        # A terminal has sent Ctrl-C to the command as well: it need not get it twice.
        if number != signal.SIGINT or not sys.stdin.isatty():
            child.send_signal(number)

    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, pass_on)
    for thread in copying:
        thread.start()
    try:
        status = child.wait()
        for thread in copying:
            thread.join()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    line = last["line"].decode(errors="replace").strip()[:_LAST_LINE_CHARACTERS]
    return (status if status >= 0 else _KILLED - status), line


def _copy(source: BinaryIO, target: Any, last: dict[str, bytes]) -> None:
    """Pass on what a command writes, and keep its last line."""
    with source:
        for line in source:
            if line.strip():
                last["line"] = line
            try:
                target.buffer.write(line)
                target.buffer.flush()
            except (OSError, AttributeError, ValueError):
                continue  # nobody reads: the command may go on


def _deliver(event: dict[str, Any], chosen: Sequence[Any], how: Any, server: str | None) -> bool:
    """Deliver a marker to each destination; print what went wrong, and return whether nothing did."""
    from sonda.cli.addressing import address
    from sonda.cli.emit import choose_way
    from sonda.cli.printing import show
    from sonda.cli.reading import item
    from sonda.cli.sending import send_all
    from sonda.pipeline.deliver import now_ns

    stamped = item("", event, now_ns).event.unwrap()
    addressed = [address(stamped, one, how) for one in chosen]
    outcomes = send_all(addressed, choose_way(server, how), concurrency=len(addressed))
    verdicts = [("sonda wrap", outcome) for outcome in outcomes]
    return not show(verdicts, sys.stderr, as_json=False, quiet=True)
