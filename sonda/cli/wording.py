"""Issues in the words of the command line: by the option that was typed, not by the field it fills."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sonda.cli.destinations import Options
from sonda.pipeline.problems import ValidationIssue

_OPTIONS: Final = {
    "log.severity": "--severity",
    "log.message": "MESSAGE",
    "log.fields": "--field",
    "labels": "--label",
    "metric.name": "NAME",
    "metric.value": "VALUE",
    "timestamp": "--timestamp",
    "encoder.type": "--encoder",
}


def as_typed(to: str, options: Options) -> Callable[[ValidationIssue], str]:
    """Return a function that words an issue of an event that was given by options."""
    given = [f"--set {setting.partition('=')[0]}" for setting in options.settings]
    common = {
        "sink.retry.max_attempts": "--retry" if options.retry else None,
        "sink.timeout": "--timeout" if options.timeout else None,
        "verify.timeout": "--verify" if options.verify else None,
        "verify.url": "--verify-url" if options.verify_url else None,
    }
    fields = _OPTIONS | {field: option for field, option in common.items() if option}
    sink = to.partition("=")[0]

    def option(path: str) -> str:
        for option in given:
            if _is_within(path, option.removeprefix("--set ")):
                return option
        for field, option in fields.items():
            if _is_within(path, field):
                return path.replace(field, option, 1)
        if path.startswith("sink"):
            return f"--to {sink}=…" if "=" in to else f"--to {to}: {path}"
        return path

    def words(issue: ValidationIssue) -> str:
        if issue.names_subject or not issue.path:
            return str(issue)
        return f"{option(issue.path)}: {issue.reason}"

    return words


def _is_within(path: str, field: str) -> bool:
    """Return whether *path* is *field* or lies below it."""
    return path == field or path.startswith((f"{field}.", f"{field}["))
