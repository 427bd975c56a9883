"""What is logged by way of `logging`: how its records are rendered, and what of it is shown.

Lines are text, or JSON rendered by structlog; they go to standard error, one line each, with the
access log's.
"""

from __future__ import annotations

import atexit
import logging
from collections.abc import Callable, Iterable
from typing import Any, Final

import structlog
from structlog.typing import EventDict

from sonda.observe.access_log import (
    LOGGER,
    WRITER,
    common_fields,
    current_id,
    json_line,
    text_line,
    use_json,
)
from sonda.pipeline.text.escape import escape
from sonda.pipeline.text.redact import scrub

_FLUSH_S: Final = 0.5  # a standard error that nobody reads delays no end of a process by more
_OURS: Final = logging.getLogger("sonda")


def configure_logging(level: str, log_format: str = "console") -> None:
    """Set our own log's level, and how lines are written; libraries only log what is wrong.

    httpx would log every URL, and lower layers every header.
    """
    logging._srcfile = None  # noqa: SLF001  # the logging HOWTO's way to leave the stack alone
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False  # not shown
    handler = _Stderr()
    as_json = log_format == "json"
    handler.setFormatter(json_formatter() if as_json else OneLine())
    use_json(as_json=as_json)
    at_least_warning = max(logging.getLevelNamesMapping()[level.upper()], logging.WARNING)
    atexit.register(flush_log)
    logging.basicConfig(handlers=[handler], level=at_least_warning)
    for logger in (_OURS, LOGGER):
        logger.setLevel(level.upper())


def flush_log() -> None:
    """Wait, but not for long, until the log has been written."""
    WRITER.flush(_FLUSH_S)


def json_formatter() -> logging.Formatter:
    """Return a formatter of JSON lines for what is logged by way of `logging`."""
    return structlog.stdlib.ProcessorFormatter(
        processors=[
            _describe,
            structlog.processors.format_exc_info,
            _scrub,
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.JSONRenderer(
                serializer=lambda fields, **_: json_line(fields).decode()
            ),
        ]
    )


def _describe(_logger: Any, _method: str, fields: EventDict) -> EventDict:
    """Put first what every line has."""
    record: logging.LogRecord = fields["_record"]
    own_id = getattr(record, "request_id", "") or current_id()
    first = common_fields(record.created, record.levelname.lower(), record.name, own_id)
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


class _Stderr(logging.Handler):
    """Writes a record without a lock; workers do not mix their lines."""

    def handle(self, record: logging.LogRecord) -> bool:
        try:
            WRITER.add(self.format(record))
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
        line = text_line(record.levelname, record.name, text, time_s=record.created)
        if not record.exc_info:
            return line
        whole = f"{line}\n{self.formatException(record.exc_info)}"
        return scrub(whole, _secrets_of(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802  # logging's name
        lines = super().formatException(ei).split("\n")
        return "\n".join(f"    {escape(line)}" for line in lines)
