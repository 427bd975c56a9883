"""The query parameters of `/scenarios`: none may be ignored, none may be over its limit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sonda.pipeline.scenarios.numbers import seconds
from sonda.pipeline.scenarios.states import State
from sonda.pipeline.schemas.issues import unknown_variant
from sonda.rejections import InvalidParameter, UnknownParameters
from sonda.resources.request import query_values, truth_of
from sonda.server.scenarios.refusals import Refusal

STATES: Final = tuple(map(str, State))
OUTCOMES: Final = ("rejected", "unknown", "skipped")
MOST_DRAIN_S: Final = 300
MOST_WAIT_S: Final = 60
MOST_LIMIT: Final = 10_000
MOST_POINTS: Final = 1_000


def parameters(query: str, *allowed: str) -> dict[str, str]:
    """Return the query's parameters, booleans as `true` or `false`; raise `Refusal` for a wrong one.

    One that is unknown, given twice, or has a value that means nothing is 400; a duration that is
    none, and what is over its limit, 422.
    """
    given = query_values(query or "", *allowed)
    if isinstance(given, UnknownParameters | InvalidParameter):
        raise Refusal(400, str(given))
    found = dict(given)
    for name in ("dry_run", "forget"):
        if name in found:
            found[name] = _boolean(name, found[name])
    for name, most in (("limit", MOST_LIMIT), ("points", MOST_POINTS)):
        if name in found:
            found[name] = str(_count(name, found[name], most))
    if "state" in found and found["state"] not in STATES:
        raise _unknown("state", found["state"], STATES)
    for one in outcomes(found):
        if one not in OUTCOMES:
            raise _unknown("outcome", one, OUTCOMES)
    drain_s(found)
    wait_s(found)
    return found


def drain_s(found: Mapping[str, str]) -> float:
    """Return how long a stop may wait; raise `Refusal` for more than five minutes."""
    return _span(found, "drain", "10s", MOST_DRAIN_S, "5m")


def wait_s(found: Mapping[str, str]) -> float:
    """Return how long to wait for a run's end; raise `Refusal` for more than a minute."""
    return _span(found, "wait", "0s", MOST_WAIT_S, "60s")


def outcomes(found: Mapping[str, str]) -> list[str]:
    """Return which columns' events are asked for, each once."""
    return list(dict.fromkeys(found.get("outcome", ",".join(OUTCOMES)).split(",")))


def _unknown(name: str, value: str, known: tuple[str, ...]) -> Refusal:
    return Refusal(400, f"query parameter {name!r}: {unknown_variant(value, known)}")


def _boolean(name: str, text: str) -> str:
    value = truth_of(name, text)
    if isinstance(value, InvalidParameter):
        raise Refusal(400, str(value))
    return "true" if value else "false"


def _count(name: str, given: str, most: int) -> int:
    digits = given.lstrip("0")
    if not given.isascii() or not given.isdigit() or not digits:
        raise Refusal(400, f"query parameter {name!r}: expected a number above 0")
    if len(digits) > len(str(most)) or int(digits) > most:
        raise Refusal(422, f"query parameter {name!r}: at most {most:,}")
    return int(digits)


def _span(found: Mapping[str, str], name: str, default: str, most_s: int, shown: str) -> float:
    try:
        span_s = float(seconds(found.get(name, default)))
    except ValueError as exc:
        raise Refusal(422, f"query parameter {name!r}: {exc}") from None
    if span_s > most_s:
        raise Refusal(422, f"query parameter {name!r}: at most {shown}")
    return span_s
