"""The log: on standard error, for standard output carries events; one line each, come what may.

Lines are text or JSON. What comes by way of `logging` is rendered by structlog; it would take 8 µs
for the line of a request, so that one goes to msgspec directly, with the same fields first.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

import structlog
from structlog.typing import EventDict

from sonda.envelope import compact
from sonda.observe.log_writer import LogWriter
from sonda.observe.record import AccessRecord, account, is_event
from sonda.pipeline.delivery import Delivery, under_way
from sonda.pipeline.text.escape import cut, escape, quote
from sonda.pipeline.text.redact import scrub

WRITER: Final = LogWriter()
_FLUSH_S: Final = 0.5  # a standard error that nobody reads delays no end of a process by more
_PATH_CHARACTERS: Final = 200
_OURS: Final = logging.getLogger("sonda")
_LOWER: Final = {"DEBUG": "debug", "INFO": "info"}
_FIELDS: Final = AccessRecord._fields
_ROUTINE: Final = ("/health", "/ready", "/metrics")
_ACCESS: Final = logging.getLogger("uvicorn.access")


def configure_logging(level: str, log_format: str = "console") -> None:
    """Set our own log's level, and how lines are written; libraries only log what is wrong.

    httpx would log every URL, and lower layers every header.
    """
    logging._srcfile = None  # noqa: SLF001  # the logging HOWTO's way to leave the stack alone
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False  # not shown
    handler = _Stderr()
    as_json = log_format == "json"
    handler.setFormatter(json_formatter() if as_json else OneLine())
    _style[:] = [_JSON if as_json else _TEXT]
    at_least_warning = max(logging.getLevelNamesMapping()[level.upper()], logging.WARNING)
    atexit.register(flush_log)
    logging.basicConfig(handlers=[handler], level=at_least_warning)
    for logger in (_OURS, _ACCESS):
        logger.setLevel(level.upper())


def log_access(
    client: str,
    method: str,
    target: str,
    version: str,
    status: int,
    own_id: str = "",
    delivery: Delivery | None = None,
) -> None:
    """Write a request's line, without the record that `logging` makes: it would cost 8 µs an event.

    For an event there is more to tell. The path is cut short, and a query left out: it means
    nothing here, or is secret. A probe that finds all well is only for who debugs: containers are
    asked every few seconds, and the events would be lost among the answers.
    """
    path = _shown(target)
    routine = status == 200 and method == "GET" and path.partition("?")[0] in _ROUTINE  # noqa: PLR2004
    level, name = (logging.DEBUG, "DEBUG") if routine else (logging.INFO, "INFO")
    if _ACCESS.isEnabledFor(level):
        asked = _Asked(client, method, path, version)
        told = account(status, delivery) if delivery and is_event(status, delivery) else None
        _write(_style[0].access(asked, status, name, own_id, told))


@lru_cache(maxsize=128)
def _shown(target: str) -> str:
    """Cut a request's path short, and leave a query out."""
    path, mark, _ = target.partition("?")
    return f"{cut(path, _PATH_CHARACTERS)}{mark and '?...'}"


def log_warning(text: str) -> None:
    """Write a warning of `sonda`, without a record, too: advisories come with many an event."""
    if _OURS.isEnabledFor(logging.WARNING):
        _write(_style[0].warning(text))


class _Asked(NamedTuple):
    """A request, as far as it is shown."""

    client: str
    method: str
    path: str
    version: str


def _access_as_text(
    asked: _Asked, status: int, level: str, own_id: str, told: AccessRecord | None
) -> str:
    client, method, path, version = asked
    text = f'{client} - "{method} {path} HTTP/{version}" {status}'
    if own_id:
        text += f" id={own_id}"
    if told is not None:
        signal_type, encoder, sink, outcome, latency_ms, tries, target, warnings, key = told
        text += (
            f" signal_type={signal_type} encoder={encoder} sink={sink} outcome={outcome}"
            f" latency_ms={latency_ms} tries={tries} warnings={len(warnings)} target={target}"
        )
        text += f" key={quote(key)}" if key else ""
    return _line(time.time(), level, _ACCESS.name, text)


def _access_as_json(
    asked: _Asked, status: int, level: str, own_id: str, told: AccessRecord | None
) -> bytes:
    client, method, path, version = asked
    fields = {
        "time": _utc(time.time()),
        "level": _LOWER[level],
        "logger": _ACCESS.name,
        "id": own_id,
        "client": client,
        "method": method,
        "path": path,
        "http_version": version,
        "status": status,
    }
    if told is not None:
        fields.update(zip(_FIELDS, told, strict=True))
        if not told.key:
            del fields["key"]
    return _json(fields)


def _warning_as_text(text: str) -> str:
    return _line(time.time(), "WARNING", _OURS.name, text)


def _warning_as_json(text: str) -> bytes:
    return _json(_first(time.time(), "warning", _OURS.name, _own_id()) | {"message": text})


class _Style(NamedTuple):
    """How lines are written that do not come by way of `logging`."""

    access: Callable[..., str | bytes]
    warning: Callable[[str], str | bytes]


_TEXT: Final = _Style(_access_as_text, _warning_as_text)
_JSON: Final = _Style(_access_as_json, _warning_as_json)
_style: Final = [_TEXT]  # the one in use


def _own_id() -> str:
    return next((delivery.id for delivery in under_way()), "")


def _first(time_s: float, level: str, name: str, own_id: str) -> dict[str, Any]:
    """Return what every line has, and the id of the request that it is about."""
    what = {"time": _utc(time_s), "level": level, "logger": name}
    return {**what, "id": own_id} if own_id else what


def json_formatter() -> logging.Formatter:
    """Return a formatter of JSON lines for what is logged by way of `logging`."""
    return structlog.stdlib.ProcessorFormatter(
        processors=[
            _describe,
            structlog.processors.format_exc_info,
            _scrub,
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.JSONRenderer(
                serializer=lambda fields, **_: _json(fields).decode()
            ),
        ]
    )


def _describe(_logger: Any, _method: str, fields: EventDict) -> EventDict:
    """Put first what every line has."""
    record: logging.LogRecord = fields["_record"]
    own_id = getattr(record, "request_id", "") or _own_id()
    first = _first(record.created, record.levelname.lower(), record.name, own_id)
    return {**first, "message": fields.pop("event"), **fields}


_operators_secrets: Final[list[Callable[[], Iterable[str]]]] = []


def hide_in_tracebacks(secrets: Callable[[], Iterable[str]]) -> None:
    """Leave out of every traceback what *secrets* returns then, whatever its record names."""
    _operators_secrets[:] = [secrets]


def _secrets_of(record: logging.LogRecord) -> tuple[str, ...]:
    always = (secret for secrets in _operators_secrets for secret in secrets())
    return (*getattr(record, "secrets", ()), *always)


def _scrub(_logger: Any, _method: str, fields: EventDict) -> EventDict:
    """Leave out of a traceback the `secrets` that its record names."""
    if "exception" in fields:
        secrets = _secrets_of(fields["_record"])
        for name in ("message", "exception"):
            fields[name] = scrub(fields[name], secrets)
    return fields


def _json(fields: Mapping[str, Any]) -> bytes:
    """Write what is not printable as an escape: JSON itself does so only below the blank."""
    line = compact(fields)
    return line if line.isascii() and b"\x7f" not in line else escape(line.decode()).encode()


def _utc(time_s: float) -> str:
    whole_s = int(time_s)
    return f"{_utc_clock(whole_s)}.{int((time_s - whole_s) * 1000):03d}Z"


@lru_cache(maxsize=1)
def _utc_clock(whole_s: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole_s))


def _line(time_s: float, level: str, name: str, text: str) -> str:
    return f"{_now(time_s)} {level} {name}: {escape(text)}"


def _now(time_s: float) -> str:
    whole_s = int(time_s)
    return f"{_clock(whole_s)},{int((time_s - whole_s) * 1000):03d}"


@lru_cache(maxsize=1)
def _clock(whole_s: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(whole_s))


_lines: Final[list[bytes]] = []  # of this turn of the event loop


def _write(text: str | bytes) -> None:
    """Write a line; those of one turn of the event loop are handed to the writer together."""
    line = text if isinstance(text, bytes) else text.encode(errors="backslashreplace")
    _lines.append(line + b"\n")
    if len(_lines) == 1:
        try:
            asyncio.get_running_loop().call_soon(_flush)
        except RuntimeError:  # no loop, or not in this thread
            _flush()


def _flush() -> None:
    lines = _lines[:]
    _lines.clear()
    WRITER.write(lines)


def flush_log() -> None:
    """Wait, but not for long, until the log has been written."""
    _flush()
    WRITER.flush(_FLUSH_S)


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

    A record may name `secrets`, which are left out, and the `request_id` that it is about.
    """

    def format(self, record: logging.LogRecord) -> str:
        own_id = getattr(record, "request_id", "")
        text = record.getMessage() + (f" id={own_id}" if own_id else "")
        line = _line(record.created, record.levelname, record.name, text)
        if not record.exc_info:
            return line
        whole = f"{line}\n{self.formatException(record.exc_info)}"
        return scrub(whole, _secrets_of(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802  # logging's name
        lines = super().formatException(ei).split("\n")
        return "\n".join(f"    {escape(line)}" for line in lines)
