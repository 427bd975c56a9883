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
from typing import Any, Final, NamedTuple

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


class AccessRecord(NamedTuple):
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


class _Request(NamedTuple):
    """A request, as far as it is shown."""

    client: str
    method: str
    path: str
    version: str
    status: int
    id: str


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
    path = _shown(target)
    routine = status == 200 and method == "GET" and path.partition("?")[0] in _ROUTINE  # noqa: PLR2004
    level, name = (logging.DEBUG, "DEBUG") if routine else (logging.INFO, "INFO")
    if LOGGER.isEnabledFor(level):
        request = _Request(client, method, path, version, status, own_id)
        record = None if delivery is None else _record(status, delivery)
        WRITER.add(_style[0].access(request, name, record))


@lru_cache(maxsize=128)
def _shown(target: str) -> str:
    """Cut a request's path short, and leave a query out."""
    path, mark, _ = target.partition("?")
    return f"{cut(path, _PATH_CHARACTERS)}{mark and '?...'}"


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
    if validated is None:
        names, target = names_of(delivery.document), ""
    else:
        names, target = (
            (validated.event.signal_type, validated.encoder.name, validated.sink.name),
            "",
        )
        identity, named = validated.sink.identity, validated.destination
        if named is not None and hasattr(validated.sink.options, "path"):
            target = escape(named.name)  # the path of a named destination's file is the operator's
        else:
            target = (target_of if len(identity) <= LONGEST_MEMOIZED else _target)(identity)
    ended = OUTCOMES.get(status, INVALID)
    return AccessRecord(
        *names, ended, latency_ms, delivery.tries, target, warnings, delivery.key_name
    )


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
        signal_type, encoder, sink, outcome, latency_ms, tries, target, warnings, key = record
        text += (
            f" signal_type={signal_type} encoder={encoder} sink={sink} outcome={outcome}"
            f" latency_ms={latency_ms} tries={tries} warnings={len(warnings)} target={target}"
        )
        text += f" key={quote(key)}" if key else ""
    return text_line(level, LOGGER.name, text)


def _access_as_json(request: _Request, level: str, record: AccessRecord | None) -> bytes:
    fields = {
        "time": _utc(time.time()),
        "level": _LOWER[level],
        "logger": LOGGER.name,
        "id": request.id,
        "client": request.client,
        "method": request.method,
        "path": request.path,
        "http_version": request.version,
        "status": request.status,
    }
    if record is not None:
        fields.update(zip(AccessRecord._fields, record, strict=True))
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
    time_s = time.time() if time_s is None else time_s
    whole_s = int(time_s)
    at = f"{_clock(whole_s)},{int((time_s - whole_s) * 1000):03d}"
    return f"{at} {level} {name}: {text if text.isprintable() else escape(text)}"


@lru_cache(maxsize=1)
def _clock(whole_s: int) -> str:
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
