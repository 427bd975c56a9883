"""The query parameters of `/scenarios`: what they may be, and the status of what they may not."""

from __future__ import annotations

import pytest

from sonda.server.scenarios.query import drain_s, outcomes, parameters, wait_s
from sonda.server.scenarios.refusals import Refusal

ALLOWED = ("dry_run", "forget", "limit", "points", "state", "outcome", "drain", "wait")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", {}),
        ("dry_run=true&forget=false", {"dry_run": "true", "forget": "false"}),
        ("dry_run", {"dry_run": "true"}),
        ("limit=0010000", {"limit": "10000"}),
        ("points=1000", {"points": "1000"}),
        ("state=running", {"state": "running"}),
        ("outcome=unknown,rejected", {"outcome": "unknown,rejected"}),
        ("drain=5m&wait=60s", {"drain": "5m", "wait": "60s"}),
    ],
)
def test_what_is_allowed(query: str, expected: dict[str, str]) -> None:
    """Booleans have one spelling afterwards, and numbers no leading zeros."""
    assert parameters(query, *ALLOWED) == expected


@pytest.mark.parametrize(
    ("query", "status", "names"),
    [
        ("dry-run=1", 400, "dry-run"),
        ("limit=1&limit=2", 400, "limit"),
        ("limit=0", 400, "limit"),
        ("limit=-1", 400, "limit"),
        ("limit=1.5", 400, "limit"),
        ("limit=%D9%A3", 400, "limit"),  # a digit of another script
        ("limit=", 400, "limit"),
        ("limit=10001", 422, "at most 10,000"),
        ("limit=" + "9" * 5000, 422, "at most 10,000"),
        ("points=1001", 422, "at most 1,000"),
        (
            "state=asleep",
            400,
            "unknown variant 'asleep', expected one of 'pending', 'running', 'stopping', 'finished'",
        ),
        ("state=RUNNING", 400, "(did you mean 'running'?)"),
        (
            "outcome=delivered",
            400,
            "unknown variant 'delivered', expected one of 'rejected', 'unknown', 'skipped'",
        ),
        ("outcome=unknown,", 400, "unknown variant ''"),
        ("dry_run=no", 400, "dry_run"),
        ("drain=301s", 422, "at most 5m"),
        ("wait=61s", 422, "at most 60s"),
        ("wait=soon", 422, "wait"),
    ],
)
def test_what_is_refused(query: str, status: int, names: str) -> None:
    """What means nothing is 400; what means too much is 422."""
    with pytest.raises(Refusal) as raised:
        parameters(query, *ALLOWED)
    assert raised.value.status == status
    assert names in str(raised.value)


def test_what_is_not_given_has_a_default() -> None:
    """A stop drains for ten seconds, nobody waits for an end, and each outcome is shown."""
    assert (drain_s({}), wait_s({})) == (10.0, 0.0)
    assert outcomes({}) == ["rejected", "unknown", "skipped"]
    assert outcomes({"outcome": "unknown,skipped,unknown"}) == ["unknown", "skipped"]
