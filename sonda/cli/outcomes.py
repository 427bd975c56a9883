"""What became of one event, as a person and as a program read it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import IntEnum
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import asdict, replace

from sonda.envelope import CODES
from sonda.pipeline.model import Receipt
from sonda.pipeline.problems import (
    Invalid,
    Malformed,
    Problem,
    ValidationIssue,
)
from sonda.pipeline.text.cards import lines_of_preview
from sonda.statuses import http_status

_TAKES_LONG_US = 1000
_SHORTEST_SECRET = 4  # a path that is shorter is none, and would turn up everywhere
EVENT_FAULTS: Final = frozenset({400, 413, 422})  # the statuses that speak of the event itself
_SAID = ("sink", "target", "bytes")  # of a preview: its first line has them


class Exit(IntEnum):
    """The exit status of one event; that of several is the worst."""

    DELIVERED = 0
    REJECTED = 1
    INVALID = 2
    UNKNOWN = 3
    UNSEEN = 4

    @property
    def word(self) -> str:
        """How a line about the event begins."""
        return self.name.lower()


_WORST_FIRST: Final = (Exit.UNKNOWN, Exit.REJECTED, Exit.UNSEEN, Exit.INVALID)


class Outcome(Struct, frozen=True):
    """The verdict on one event: *answer* is its JSON, *line* what a person reads of it."""

    exit: Exit
    answer: Mapping[str, Any]
    line: str
    warnings: tuple[str, ...] = ()
    details: tuple[str, ...] = ()
    """Further lines, printable as they are."""
    is_events_fault: bool = False
    """Whether the event itself is not valid, so that it is never to be sent again as it is."""
    placed: tuple[tuple[str, str], ...] = ()
    """Where it is known of issues in which file they stand: the place and the line of each."""


def delivered(receipt: Receipt, target: str) -> Outcome:
    """Return the outcome of an event that *target* has, with the proof of it."""
    proof = str(receipt.confirmed) if receipt.status is None else str(receipt.status)
    tries = f", {receipt.tries} tries" if receipt.tries > 1 else ""
    line = f"delivered to {target} in {_span(receipt.latency_us)} ({proof}{tries})"
    said = {name: value for name, value in asdict(receipt).items() if name != "offset"}
    answer = {
        "sent": True,
        **{name: value for name, value in said.items() if value is not None and value != ()},
    }
    return _seen(Outcome(Exit.DELIVERED, answer, line, receipt.warnings))


def _seen(outcome: Outcome) -> Outcome:
    """Add what reading the event back has shown, where that was asked for."""
    match outcome.answer:
        case {"verified": False}:
            return replace(outcome, exit=Exit.UNSEEN, line=f"{outcome.line}, not seen in time")
        case {"verified": True, "visible_us": int(visible_us)}:
            return replace(outcome, line=f"{outcome.line}, seen after {_span(visible_us)}")
        case {"verified": True, "visible_ms": visible_ms}:
            return replace(outcome, line=f"{outcome.line}, seen after {visible_ms} ms")
        case _:
            return outcome


def delivered_through(document: Mapping[str, Any], target: str, url: str) -> Outcome:
    """Return the outcome of an event that *target* has, as the server at *url* answers; *document* is that answer."""
    line = f"delivered to {target} through {url} in {document['latency_ms']} ms"
    receipt = document.get("receipt")
    if isinstance(receipt, Mapping):
        tries = receipt.get("tries", 1)
        proof = receipt.get("status", str(receipt.get("confirmed")).replace("_", " "))
        line += f" ({proof}{f', {tries} tries' if tries != 1 else ''})"
    warnings = tuple(map(str, document.get("warnings", ())))
    return _seen(Outcome(Exit.DELIVERED, document, line, warnings))


def previewed(document: Mapping[str, Any], target: str) -> Outcome:
    """Return what *target* would get; *document* is the answer of a dry run."""
    preview = document["preview"]
    line = f"not sent: {target} would get {preview.get('bytes')} bytes"
    warnings = tuple(map(str, document.get("warnings", ())))
    details = tuple(lines_of_preview({k: v for k, v in preview.items() if k not in _SAID}))
    return Outcome(Exit.DELIVERED, document, line, warnings, details)


def failed(
    problem: Problem,
    said: Callable[[ValidationIssue], str] = str,
    find: Callable[[ValidationIssue], str] | None = None,
) -> Outcome:
    """Return the outcome that a problem is.

    *said* words each issue for a person, *find* returns the place where it stands in a file, or an
    empty text.
    """
    outcome = answered(http_status(problem), str(problem))
    if not isinstance(problem, (Malformed, Invalid)):
        return outcome
    outcome = replace(outcome, line=f"{outcome.exit.word}: {_listed(problem, said)}")
    return outcome if find is None else with_places(outcome, problem, said, find)


def with_places(
    outcome: Outcome,
    problem: Malformed | Invalid,
    said: Callable[[ValidationIssue], str],
    find: Callable[[ValidationIssue], str],
) -> Outcome:
    """Return the outcome with a line for each issue, if any of them stands in a file.

    A program finds them in the answer's `issues`, with the place as `where`.
    """
    places = list(map(find, problem.issues))
    if not any(places):
        return outcome
    lines = [f"{outcome.exit.word}: {said(issue)}" for issue in problem.issues]
    more = [("", f"{outcome.exit.word}: and {problem.more} more")] if problem.more else []
    issues = [
        {"path": issue.path, "reason": issue.reason, "where": place}
        for issue, place in zip(problem.issues, places, strict=True)
    ]
    return replace(
        outcome,
        answer={**outcome.answer, "issues": issues},
        placed=(*zip(places, lines, strict=True), *more),
    )


def placed_as_answered(
    outcome: Outcome,
    detail: str,
    issues: Iterable[object],
    find: Callable[[ValidationIssue], str] | None,
) -> Outcome:
    """Return the outcome of a server's answer, its *issues* with the places where they stand."""
    if find is None:
        return outcome
    read = (_issue_of(one, detail) for one in issues)
    found = tuple(issue for issue in read if issue is not None)
    return with_places(outcome, Invalid(found), str, find) if found else outcome


def _issue_of(document: object, detail: str) -> ValidationIssue | None:
    match document:
        case {"path": str(path), "reason": str(reason)}:
            return ValidationIssue(path, reason, names_subject=f"{path}: {reason}" not in detail)
        case _:
            return None


def _listed(problem: Malformed | Invalid, said: Callable[[ValidationIssue], str]) -> str:
    """Return the issues in *said*'s words, and how many more there are."""
    more = (f"and {problem.more} more",) if problem.more else ()
    return "; ".join([*map(said, problem.issues), *more])


def answered(status: int, detail: str) -> Outcome:
    """Return what a status other than 200 means for the event; *detail* is the reason."""
    verdict = exit_status(status)
    answer = {"error": CODES.get(status, "unexpected_answer"), "detail": detail}
    at_fault = status in EVENT_FAULTS
    return Outcome(verdict, answer, f"{verdict.word}: {detail}", is_events_fault=at_fault)


def exit_status(status: int) -> Exit:
    """Return what an answer of the HTTP API means for the event.

    408 and 503 are said before anything is sent. A 500 is a bug, which may strike at any point, and
    what is no status of the API's tells nothing at all.
    """
    match status:
        case 200:
            return Exit.DELIVERED
        case 408 | 502 | 503:
            return Exit.REJECTED
        case _ if status in CODES and status not in (500, 504):
            return Exit.INVALID
        case _:
            return Exit.UNKNOWN


def redacted(outcome: Outcome, secrets: Mapping[str, str]) -> Outcome:
    """Put `env:NAME` wherever a secret's value stands; *secrets* has the values by `env:NAME`."""
    if not secrets:
        return outcome
    return replace(
        outcome,
        answer={name: redact(value, secrets) for name, value in outcome.answer.items()},
        line=redact(outcome.line, secrets),
        warnings=tuple(redact(outcome.warnings, secrets)),
        details=tuple(redact(outcome.details, secrets)),
        placed=tuple((place, redact(line, secrets)) for place, line in outcome.placed),
    )


def redact(value: Any, secrets: Mapping[str, str]) -> Any:
    """Put `env:NAME` for each secret in a text, or in the texts of a list or an object."""
    if isinstance(value, Mapping):
        return {name: redact(inner, secrets) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [redact(inner, secrets) for inner in value]
    if not isinstance(value, str):
        return value
    from sonda.pipeline.text.redact import replace_secrets

    spelled = {spelling: shown for shown, one in secrets.items() for spelling in _spellings(one)}
    return replace_secrets(value, spelled)


def _spellings(secret: str) -> Iterable[str]:
    """Return the ways in which a message may quote a value: escaped, cut, without its userinfo."""
    from sonda.pipeline.text.escape import QUOTED_CHARACTERS, cut, escape, hide_userinfo

    plain = dict.fromkeys(
        (secret, hide_userinfo(secret), secret.rstrip("/"), *_in_request_line(secret))
    )
    for text in plain:
        for short in dict.fromkeys((text, cut(text, QUOTED_CHARACTERS))):
            yield from filter(
                None, dict.fromkeys((short, escape(short), escape(short, quotes=True)))
            )


def _in_request_line(secret: str) -> Iterable[str]:
    """Return what a request line has of a secret URL: its path, its query, and both together."""
    from sonda.pipeline.values.addresses import parse_http_url

    try:
        target = parse_http_url(secret).raw_path.decode("ascii")
    except ValueError:
        return ()
    path, mark, query = target.partition("?")
    parts = (target, path.rstrip("/"), mark + query)
    return (part for part in parts if len(part) >= _SHORTEST_SECRET)


def worst(outcomes: Iterable[Outcome]) -> Exit:
    """Return the exit status of several events."""
    found = {outcome.exit for outcome in outcomes}
    return next((verdict for verdict in _WORST_FIRST if verdict in found), Exit.DELIVERED)


def _span(latency_us: int) -> str:
    """Write a latency: `3 ms`, and `0.4 ms` below one."""
    decimals = 0 if latency_us >= _TAKES_LONG_US else 1
    return f"{latency_us / 1000:.{decimals}f} ms"
