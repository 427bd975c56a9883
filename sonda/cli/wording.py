"""Flaws in the words of the command line: by the option that was typed, not by the field it fills."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from sonda.pipeline.problems import ValidationIssue
from sonda.pipeline.schemas.registry import PLUGINS

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


def as_typed(to: str, settings: Sequence[str]) -> Callable[[ValidationIssue], str]:
    """Make a function that says a flaw of an event that was given by options."""
    given = [f"--set {setting.partition('=')[0]}" for setting in settings]
    sink = to.partition("=")[0]

    def option(path: str) -> str:
        for option in given:
            if _is_within(path, option.removeprefix("--set ")):
                return option
        for field, option in _OPTIONS.items():
            if _is_within(path, field):
                return path.replace(field, option, 1)
        if path.startswith("sink"):
            return f"--to {sink}=…" if sink in PLUGINS["sink"] else f"--to {to}: {path}"
        return path

    def said(flaw: ValidationIssue) -> str:
        if flaw.names_subject or not flaw.path:
            return str(flaw)
        return f"{option(flaw.path)}: {flaw.reason}"

    return said


def _is_within(path: str, field: str) -> bool:
    """Tell whether *path* is *field* or lies below it."""
    return path == field or path.startswith((f"{field}.", f"{field}["))
