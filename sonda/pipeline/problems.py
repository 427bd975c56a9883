"""Every failure that a user or a destination can cause, as data.

A problem says what happened and what the caller may conclude; `str(problem)` is the
contract's `detail`. Wrong assumptions of our own are no problems: they raise.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from itertools import islice
from typing import ClassVar, Final, Literal, TypeAlias, TypeVar

from sonda.pipeline.text.cards import Shown, Tone
from sonda.pipeline.values.timestamps import rfc3339

Finding = TypeVar("Finding")

MAX_ISSUES: Final = 20
"""The most issues that a problem lists."""
DISTRIBUTION: Final = "sonda-events"
"""The name to install by; `sonda` on a package index is somebody else's."""


@dataclass(frozen=True, slots=True)
class ValidationIssue:
    """One thing wrong with the value at *path* in a body.

    The text leaves the path out where the reason names its subject itself (*names_subject*).
    *where* is the file, the line and the column, if it stands in a file: `demo.yaml:3:5`.
    """

    path: str
    reason: str
    names_subject: bool = False
    where: str = field(default="", compare=False)

    def __str__(self) -> str:
        text = self.reason if self.names_subject or not self.path else f"{self.path}: {self.reason}"
        return f"{self.where}: {text}" if self.where else text


def missing_extra(kind: Literal["encoder", "sink"], name: str, extra: str) -> ValidationIssue:
    """Return the issue of a body whose encoder or sink needs an extra that is not installed."""
    hint = f"pip install '{DISTRIBUTION}[{extra}]'"
    reason = f"{kind} type '{name}' requires the '{extra}' feature: {hint}"
    return ValidationIssue(f"{kind}.type", reason, names_subject=True)


def first_issues(
    found: Collection[Finding], issue: Callable[[Finding], ValidationIssue]
) -> Invalid:
    """Return the problem of all that was *found*, only the first of it put into words by *issue*."""
    return Invalid(tuple(map(issue, islice(found, MAX_ISSUES))), max(0, len(found) - MAX_ISSUES))


def _listed(issues: tuple[ValidationIssue, ...], more: int) -> str:
    """Return the text of *issues*, and how many *more* there are."""
    return "; ".join([*map(str, issues), *([f"and {more} more"] if more else ())])


@dataclass(frozen=True, slots=True)
class NotJson(Shown):
    """The body is no JSON text that could be sent on; nothing was sent."""

    reason: str

    def __str__(self) -> str:
        return f"the body is not valid JSON: {self.reason}"


@dataclass(frozen=True, slots=True)
class Malformed(Shown):
    """The body's structure is wrong: a type, a field's name, an enumerated value; nothing was sent."""

    issues: tuple[ValidationIssue, ...]
    more: int = 0
    """How many further issues the body has: only the first `MAX_ISSUES` are listed."""

    def __str__(self) -> str:
        return _listed(self.issues, self.more)


@dataclass(frozen=True, slots=True)
class Invalid(Shown):
    """The structure is right, but no configuration allows these values; nothing was sent."""

    issues: tuple[ValidationIssue, ...]
    more: int = 0
    """How many further issues the body has: only the first `MAX_ISSUES` are listed."""

    def __str__(self) -> str:
        return _listed(self.issues, self.more)


@dataclass(frozen=True, slots=True)
class Forbidden(Shown):
    """The operator does not allow what the body asks for; nothing was sent."""

    subject: str
    remedy: str = ""
    """Which flag would allow it, if one would."""

    def __str__(self) -> str:
        return f"{self.subject}; {self.remedy}" if self.remedy else self.subject


@dataclass(frozen=True, slots=True)
class DestinationBusy(Shown):
    """As many events as one destination may have under way have no answer yet; nothing was sent."""

    target: str
    most: int

    def __str__(self) -> str:
        return (
            f"{self.most} events for {self.target} are under way, which is all that one destination "
            "may have: try again"
        )


@dataclass(frozen=True, slots=True)
class Unreachable(Shown):
    """No byte of the event left, or what had left was taken back: the destination has nothing.

    With *after_refusal* that holds for the last try alone: the destination said no to an earlier one,
    which may have stored the event all the same (*may_be_stored*, as of a `Refused`).
    With *is_final* another try cannot help: the operating system refused the write, or the event
    cannot be sent that way at all.
    """

    attempt: str
    reason: str
    after_refusal: bool = field(default=False, compare=False)
    is_final: bool = field(default=False, compare=False)
    may_be_stored: bool = field(default=False, compare=False)

    def __str__(self) -> str:
        return f"sink error: {self.attempt}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Refused(Shown):
    """The destination answered, and its answer was no.

    *may_be_stored* is true where the answer does not speak of the event, so that something on the
    way may have said it after the event was stored: a 5xx, a 408, a 2xx of the wrong content.
    """

    target: str
    status: str
    answer: str = ""
    may_be_stored: bool = field(default=False, compare=False)

    def __str__(self) -> str:
        quoted = f": {self.answer}" if self.answer else ""
        return f"sink error: {self.target} answered {self.status}{quoted}"


@dataclass(frozen=True, slots=True)
class OutcomeUnknown(Shown):
    """Bytes of the event left and no complete answer came; the destination may have kept it.

    *reason* continues "no acknowledgement from <target>": "within 10s", "(Broken pipe)".
    """

    tone: ClassVar = Tone.UNSURE
    target: str
    reason: str
    time_ns: int

    def __str__(self) -> str:
        return (
            f"sink error: no acknowledgement from {self.target} {self.reason}; "
            f"the event (timestamp {rfc3339(self.time_ns)}) may or may not have been delivered"
        )


Problem: TypeAlias = (
    NotJson
    | Malformed
    | Invalid
    | Forbidden
    | DestinationBusy
    | Unreachable
    | Refused
    | OutcomeUnknown
)
