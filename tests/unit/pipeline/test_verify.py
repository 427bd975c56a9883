"""The module that asks a destination is found by its sink; a query that is too long is a verdict."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sonda.pipeline import verify
from sonda.pipeline.schemas.registry import PLUGINS
from sonda.pipeline.verify.judging import SEEN, QueryRefused
from sonda.pipeline.verify.query import QueryTooLongError


class Event:
    """An event for a sink."""

    def __init__(self, sink: str) -> None:
        self.validated = self
        self.sink = self
        self.name = sink


VERIFIED = sorted(name for name, schema in PLUGINS["sink"].items() if "x-verify" in schema)


def test_which_sinks_can_be_asked() -> None:
    """Those of the contract, and no other."""
    assert VERIFIED == ["file", "kafka", "loki", "remote_write"]


@pytest.mark.parametrize("sink", VERIFIED)
def test_each_has_its_module(sink: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked with all that is known of the delivery."""
    handed: list[tuple[Any, ...]] = []

    async def look() -> object:
        return SEEN

    def look_for(*given: Any) -> object:
        handed.append(given)
        return look

    monkeypatch.setattr(f"sonda.pipeline.verify.{sink}.look_for", look_for)
    event: Any = Event(sink)
    receipt: Any = object()
    found = verify.look_for(event, receipt, receipt, receipt)
    assert asyncio.run(_wait(found)) is SEEN
    assert handed == [(event, receipt, receipt, receipt)]


async def _wait(look: verify.Look) -> object:
    return await look()


def test_a_query_that_no_url_can_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """The event was acknowledged all the same: it is refused once and for all, and not raised."""

    def too_long(*_: object) -> object:
        raise QueryTooLongError("too long")

    monkeypatch.setattr("sonda.pipeline.verify.loki.look_for", too_long)
    event: Any = Event("loki")
    unused: Any = None
    found = verify.look_for(event, unused, unused, unused)
    assert asyncio.run(_wait(found)) == QueryRefused("too long", is_final=True)
