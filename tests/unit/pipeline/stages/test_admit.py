"""What a caller's key lets an event use."""

from __future__ import annotations

from returns.result import Success

from sonda.pipeline.model import EncodedEvent, NamedDestination, Payload, PluginRef, ValidatedEvent
from sonda.pipeline.net import Network
from sonda.pipeline.policy.callers import ANYBODY, Caller
from sonda.pipeline.problems import Forbidden
from sonda.pipeline.stages.admit import admit
from tests.support.events import record

PLUGIN = PluginRef("x", None, None, "{}")
RESTRICTED = Caller("team", frozenset({"prod"}))


def encoded(*, named: bool) -> EncodedEvent:
    destination = NamedDestination(PLUGIN, PLUGIN, name="prod") if named else None
    validated = ValidatedEvent(record(), PLUGIN, PLUGIN, destination=destination)
    return EncodedEvent(validated, Payload(validated.event, "x", "text/plain", b""))


def test_anybody_brings_a_sink() -> None:
    """Where no key is restricted, everything passes as it is."""
    event = encoded(named=False)
    admitted = admit(event, caller=ANYBODY, network=Network())
    assert isinstance(admitted, Success)
    assert admitted.unwrap() is event


def test_a_restricted_key_names_a_destination() -> None:
    """Whether it may use that one has been asked when the name was looked up."""
    event = encoded(named=True)
    assert admit(event, caller=RESTRICTED, network=Network()).unwrap() is event


def test_a_restricted_key_brings_no_sink() -> None:
    """It is told where its destinations are listed."""
    problem = admit(encoded(named=False), caller=RESTRICTED, network=Network()).failure()
    assert isinstance(problem, Forbidden)
    assert "named destinations alone" in str(problem)
