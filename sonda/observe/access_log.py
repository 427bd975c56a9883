"""The line of each request in the log, and each advisory's: text, or JSON with the same fields.

They do not come by way of `logging`, whose record alone would cost 8 µs an event.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any, Final, NamedTuple, TypeAlias

from msgspec import Struct
from msgspec.structs import asdict
from returns.result import Success

from sonda.observe.log_writer import LogWriter
from sonda.observe.record import INVALID, OUTCOMES, names_of
from sonda.pipeline.delivery import UNDER_WAY, Delivery
from sonda.pipeline.text.compact_json import compact
from sonda.pipeline.text.escape import cut, escape, quote, shown
from sonda.pipeline.values.memoize import LONGEST_MEMOIZED, MEMOIZED

WRITER: Final = LogWriter()
LOGGER: Final = logging.getLogger("uvicorn.access")
_OURS: Final = logging.getLogger("sonda")
_PATH_CHARACTERS: Final = 200
_LOWER: Final = {"DEBUG": "debug", "INFO": "info"}
_ROUTINE: Final = ("/health", "/ready", "/metrics")
_URL: Final = re.compile(r"[A-Za-z]+://[^/?#]*")


class AccessRecord(Struct, frozen=True):
    """One event, in the order in which its line in the log tells it."""

    signal_type: str
    encoder: str
    sink: str
    outcome: str
    latency_ms: int
    tries: int
    target: str
    warnings: Sequence[str]
    key: str = ""
    """The name of the caller's key, if it has one."""


_Request: TypeAlias = tuple[str, str, str, str, int, str]
"""A request, as far as it is shown: client, method, path, HTTP version, status and id."""


def log_access(
    client: str,
    method: str,
    target: str,
    version: str,
    status: int,
    own_id: str = "",
    delivery: Delivery | None = None,
) -> None:
    """Write a request's line; *delivery* is that of its event, of which there is more to tell.

    The path is cut short, and a query left out: it means nothing here, or is secret. A probe that
    finds all well is only for who debugs: containers are asked every few seconds, and the events
    would be lost among the answers.
    """
    path, is_routine = _shown(target)
    level, name = logging.INFO, "INFO"
    if is_routine and status == 200 and method == "GET":  # noqa: PLR2004
        level, name = logging.DEBUG, "DEBUG"
    if LOGGER.isEnabledFor(level):
        record = None if delivery is None else _record(status, delivery)
        request = (client, method, path, version, status, own_id)
        WRITER.add(_style[0].access(request, name, record))


@lru_cache(maxsize=128)
def _shown(target: str) -> tuple[str, bool]:
    """Cut a request's path short, and leave a query out; return whether it is a probe's, too."""
    path, mark, _ = target.partition("?")
    return f"{cut(path, _PATH_CHARACTERS)}{mark and '?...'}", path in _ROUTINE


def _record(status: int, delivery: Delivery) -> AccessRecord:
    """Return the record of an event; nothing of it is a secret, or free to break out of a line of text."""
    validated, outcome = delivery.validated, delivery.outcome
    if isinstance(outcome, Success):
        receipt = outcome.unwrap()
        latency_ms, warnings = receipt.latency_us // 1000, receipt.warnings
    else:
        spent_ns = delivery.ended_ns - delivery.prepared_ns if delivery.encoded_ns else 0
        latency_ms = max(0, spent_ns) // 1_000_000
        warnings = validated.warnings if validated is not None else ()
    ended = OUTCOMES.get(status, INVALID)
    told = (ended, latency_ms, delivery.tries)
    if validated is None:
        return AccessRecord(*names_of(delivery.document), *told, "", warnings, delivery.key_name)
    sink, named = validated.sink, validated.destination
    if named is not None and hasattr(sink.options, "path"):
        target = escape(named.name)  # the path of a named destination's file is the operator's
    elif len(sink.identity) <= LONGEST_MEMOIZED:
        target = target_of(sink.identity)
    else:
        target = _target(sink.identity)
    names = (validated.event.signal_type, validated.encoder.name, sink.name)
    return AccessRecord(*names, *told, target, warnings, delivery.key_name)


def _target(identity: str) -> str:
    """Name a destination by as much of it as never holds a secret: of a URL, up to its host."""
    options: Mapping[str, Any] = json.loads(identity)
    for field in ("url", "endpoint"):
        if field in options:
            begins = _URL.match(shown(options[field]))
            return begins[0] if begins else ""
    for field in ("address", "brokers", "path"):
        if field in options:
            return shown(options[field])
    return str(options["type"])


target_of: Final = lru_cache(MEMOIZED)(_target)


def log_warning(text: str) -> None:
    """Write a warning of `sonda`, without a record, too: advisories come with many an event."""
    if _OURS.isEnabledFor(logging.WARNING):
        WRITER.add(_style[0].warning(text))


def _access_as_text(request: _Request, level: str, record: AccessRecord | None) -> str:
    client, method, path, version, status, own_id = request
    text = f'{client} - "{method} {path} HTTP/{version}" {status}'
    if own_id:
        text += f" id={own_id}"
    if record is not None:
        text += (
            f" signal_type={record.signal_type} encoder={record.encoder} sink={record.sink}"
            f" outcome={record.outcome} latency_ms={record.latency_ms} tries={record.tries}"
            f" warnings={len(record.warnings)} target={record.target}"
        )
        text += f" key={quote(record.key)}" if record.key else ""
    return text_line(level, LOGGER.name, text)


_REQUEST_FIELDS: Final = ("client", "method", "path", "http_version", "status")


def _access_as_json(request: _Request, level: str, record: AccessRecord | None) -> bytes:
    *told, own_id = request
    what = {"time": _utc(time.time()), "level": _LOWER[level], "logger": LOGGER.name, "id": own_id}
    fields = what | dict(zip(_REQUEST_FIELDS, told, strict=True))
    if record is not None:
        fields |= asdict(record)
        if not record.key:
            del fields["key"]
    return json_line(fields)


def _warning_as_json(text: str) -> bytes:
    return json_line(
        common_fields(time.time(), "warning", _OURS.name, current_id()) | {"message": text}
    )


# Lines


def current_id() -> str:
    """Return the id of the request that this task works on, or an empty text."""
    return next((delivery.id for delivery in UNDER_WAY.get()), "")


def common_fields(time_s: float, level: str, name: str, own_id: str) -> dict[str, Any]:
    """Return what every line has, and the id of the request that it is about."""
    what = {"time": _utc(time_s), "level": level, "logger": name}
    return {**what, "id": own_id} if own_id else what


def json_line(fields: Mapping[str, Any]) -> bytes:
    """Write what is not printable as an escape: JSON itself does so only below the blank."""
    line = compact(fields)
    return line if line.isascii() and b"\x7f" not in line else escape(line.decode()).encode()


def _utc(time_s: float) -> str:
    whole_s = int(time_s)
    return f"{_utc_clock(whole_s)}.{int((time_s - whole_s) * 1000):03d}Z"


@lru_cache(maxsize=1)
def _utc_clock(whole_s: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole_s))


def text_line(level: str, name: str, text: str, *, time_s: float | None = None) -> str:
    """Return a line of text, by default of now, in which what is not printable is an escape."""
    at = _clock(int((time.time() if time_s is None else time_s) * 1000))
    return f"{at} {level} {name}: {text if text.isprintable() else escape(text)}"


@lru_cache(maxsize=1)  # many lines of one millisecond
def _clock(time_ms: int) -> str:
    whole_s, left_ms = divmod(time_ms, 1000)
    return f"{_second(whole_s)},{left_ms:03d}"


@lru_cache(maxsize=1)
def _second(whole_s: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(whole_s))


# Styles


class _Style(NamedTuple):
    """How lines are written that do not come by way of `logging`."""

    access: Callable[[_Request, str, AccessRecord | None], str | bytes]
    warning: Callable[[str], str | bytes]


_TEXT: Final = _Style(_access_as_text, partial(text_line, "WARNING", _OURS.name))
_JSON: Final = _Style(_access_as_json, _warning_as_json)
_style: Final = [_TEXT]  # the one in use


def use_json(*, as_json: bool) -> None:
    """Write lines as JSON from now on, or as text."""
    _style[:] = [_JSON if as_json else _TEXT]
