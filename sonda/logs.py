"""The log: on standard error, for standard output carries events; one line each, come what may."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import select
import time
from functools import lru_cache
from typing import Any, Final

from sonda.pipeline.credentials import scrub
from sonda.pipeline.quoting import cut, escape

_STDERR: Final = 2
_PATH_CHARACTERS: Final = 200
_OURS: Final = logging.getLogger("sonda")
_ACCESS: Final = logging.getLogger("uvicorn.access")


def configure_logging(level: str) -> None:
    """Set our own log's level; libraries only log what is wrong.

    httpx would log every URL, and lower layers every header.
    """
    logging._srcfile = None  # noqa: SLF001  # the logging HOWTO's way to leave the stack alone
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False  # not shown
    handler = _Stderr()
    handler.setFormatter(OneLine())
    at_least_warning = max(logging.getLevelNamesMapping()[level.upper()], logging.WARNING)
    logging.basicConfig(handlers=[handler], level=at_least_warning)
    for logger in (_OURS, _ACCESS):
        logger.setLevel(level.upper())


def log_access(client: str, method: str, target: str, version: str, status: int) -> None:
    """Write an access line, without the record that `logging` makes: it would cost 8 µs an event.

    A probe that finds all well is only for who debugs: containers are asked every few seconds, and
    the events would be lost among the answers.
    """
    path = target.partition("?")[0]
    routine = status == 200 and method == "GET" and path in ("/health", "/ready")  # noqa: PLR2004
    level, name = (logging.DEBUG, "DEBUG") if routine else (logging.INFO, "INFO")
    if _ACCESS.isEnabledFor(level):
        request = _request(method, target, version)
        _write(f'{_now(time.time())} {name} {_ACCESS.name}: {client} - "{request}" {status}')


@lru_cache(maxsize=128)
def _request(method: str, target: str, version: str) -> str:
    """Show a request: its path cut short, and a query left out, which means nothing or is secret."""
    path, mark, _ = target.partition("?")
    return escape(f"{method} {cut(path, _PATH_CHARACTERS)}{mark and '?...'} HTTP/{version}")


def log_warning(text: str) -> None:
    """Write a warning of `sonda`, without a record, too: advisories come with many an event."""
    if _OURS.isEnabledFor(logging.WARNING):
        _write(_line(time.time(), "WARNING", _OURS.name, text))


def _line(time_s: float, level: str, name: str, text: str) -> str:
    return f"{_now(time_s)} {level} {name}: {escape(text)}"


def _now(time_s: float) -> str:
    whole_s = int(time_s)
    return f"{_clock(whole_s)},{int((time_s - whole_s) * 1000):03d}"


@lru_cache(maxsize=1)
def _clock(whole_s: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(whole_s))


_lines: Final[list[bytes]] = []  # of this turn of the event loop


def _write(text: str) -> None:
    """Write a line; those of one turn of the event loop leave together, with one system call."""
    _lines.append(f"{text}\n".encode(errors="backslashreplace"))
    if len(_lines) == 1:
        try:
            asyncio.get_running_loop().call_soon(_flush)
        except RuntimeError:  # no loop, or not in this thread
            _flush()


def _flush() -> None:
    lines, together = _lines[:], bytearray()
    _lines.clear()
    for line in lines:
        if len(together) + len(line) > select.PIPE_BUF:  # as much as other workers cannot split
            _put(together)
            together = bytearray()
        together += line
    _put(together)


def _put(text: bytes | bytearray) -> None:
    with contextlib.suppress(OSError):  # nobody reads it any more: where else to say so?
        os.write(_STDERR, text)


class _Stderr(logging.Handler):
    """Writes a record without a lock; workers do not mix their lines."""

    def handle(self, record: logging.LogRecord) -> bool:
        try:
            _write(self.format(record))
        except Exception:  # noqa: BLE001  # as in every handler: a bad log call ends nothing else
            self.handleError(record)
        return True


class OneLine(logging.Formatter):
    """A formatter that lets no text break out of its line; tracebacks are indented.

    A record may name `secrets`, which are left out.
    """

    def format(self, record: logging.LogRecord) -> str:
        line = _line(record.created, record.levelname, record.name, record.getMessage())
        if not record.exc_info:
            return line
        whole = f"{line}\n{self.formatException(record.exc_info)}"
        return scrub(whole, getattr(record, "secrets", ()))

    def formatException(self, ei: Any) -> str:  # noqa: N802  # logging's name
        lines = super().formatException(ei).split("\n")
        return "\n".join(f"    {escape(line)}" for line in lines)
