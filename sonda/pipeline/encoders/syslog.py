"""One syslog message: labels and fields as structured data, the log's message as the text.

Spec: https://www.rfc-editor.org/rfc/rfc5424#section-6
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from returns.result import Failure, Result, Success

from sonda.pipeline.encoders import Encoder
from sonda.pipeline.encoders._escaping import escape_all
from sonda.pipeline.model import Log, Severity
from sonda.pipeline.problems import Problem, ValidationIssue, first_issues
from sonda.pipeline.text.escape import at, quote
from sonda.pipeline.values.timestamps import rfc3339_ms

_FACILITY_USER: Final = 1
_SEVERITIES: Final[Mapping[Severity, int]] = {
    "trace": 7,
    "debug": 7,
    "info": 6,
    "warn": 4,
    "error": 3,
    "fatal": 0,
}
_SD_NAME: Final = re.compile(r"[!#-<>-\\^-~]{1,32}")  # %d33-126 except '=', ']' and '"'
_SD_NAMES: Final = re.compile(rf"(?:{_SD_NAME.pattern}\n)*+")
_SD_ESCAPES: Final = str.maketrans({'"': r"\"", "\\": r"\\", "]": r"\]"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Syslog:
    """Options: the header's HOSTNAME and APP-NAME."""

    hostname: str = "sonda"
    app_name: str = "sonda"


def encode(log: Log, options: Syslog) -> Result[bytes, Problem]:
    """Render one message, LF-terminated, time in milliseconds, UTF-8 without a BOM.

    Fails with `Invalid` for names that structured data cannot have. A newline in the message or
    in a value is valid syslog and stays; a sink whose frames end with LF refuses it.
    """
    bad_names = [
        *_bad_names(log.labels, "labels"),
        *_bad_names(log.fields, "log", "fields"),
    ]
    if bad_names:
        return Failure(first_issues(bad_names, _bad_name))
    priority = _FACILITY_USER * 8 + _SEVERITIES[log.severity]
    header = f"<{priority}>1 {rfc3339_ms(log.time_ns)} {options.hostname} {options.app_name} - -"
    elements = _element("sonda@32473", log.labels) + _element("fields@32473", log.fields)
    message = f" {log.message}" if log.message else ""
    return Success(f"{header} {elements or '-'}{message}\n".encode())


def _element(sd_id: str, params: Mapping[str, str]) -> str:
    if not params:
        return ""
    names = sorted(params)
    values = escape_all(map(params.__getitem__, names), _SD_ESCAPES)
    rendered = "".join([f' {name}="{value}"' for name, value in zip(names, values, strict=True)])
    return f"[{sd_id}{rendered}]"


def _bad_names(params: Mapping[str, str], *path: str) -> Iterator[tuple[str, ...]]:
    lines = "".join([f"{name}\n" for name in params])
    if _SD_NAMES.fullmatch(lines) and lines.count("\n") == len(params):
        return iter(())
    return ((*path, name) for name in sorted(params) if not _SD_NAME.fullmatch(name))


def _bad_name(path: tuple[str, ...]) -> ValidationIssue:
    return ValidationIssue(
        at(*path),
        f"{quote(path[-1])} is no name for structured data: must be 1 to 32 printable ASCII "
        "characters other than space, '=', ']' and '\"'",
    )


ENCODER: Final = Encoder(Syslog, "text/plain; charset=utf-8", encode)
