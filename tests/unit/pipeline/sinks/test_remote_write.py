"""Whose series have one order, and what identifies a series."""

from __future__ import annotations

from typing import Any

import pytest

from sonda.pipeline.model import Payload
from sonda.pipeline.sinks.remote_write import RemoteWrite, _endpoint, _receiver, _series
from tests.support.events import sample

URL = "http://mimir.example:9009/api/v1/push?a=b"


def receiver(url: str = URL, **options: Any) -> object:
    return _receiver(_endpoint(RemoteWrite(url=url, **options)))


@pytest.mark.parametrize(
    "same",
    [
        {"timeout": "1s"},
        {"batch_size": 1},
        {"headers": {}},
        {"url": "http://MIMIR.example.:9009/api/v1/push?a=b"},
        {"url": "http://mimir.example:9009/api/v1/%70ush?a=b"},
        {"url": URL + "#fragment"},
    ],
)
def test_one_receiver(same: dict[str, Any]) -> None:
    """Whatever the other options say, and however the address is spelt."""
    assert receiver(**{"url": URL, **same}) == receiver()


@pytest.mark.parametrize(
    "other",
    [
        {"url": "https://mimir.example:9009/api/v1/push?a=b"},
        {"url": "http://mimir.example:9010/api/v1/push?a=b"},
        {"url": "http://mimir.example:9009/api/v1/PUSH?a=b"},
        {"url": "http://mimir.example:9009/api/v1/push?a=c"},
        {"headers": {"X-Scope-OrgID": "tenant"}},
        {"url": "http://me:pw@mimir.example:9009/api/v1/push?a=b"},
    ],
)
def test_another_receiver(other: dict[str, Any]) -> None:
    """Another address, path, query, login or tenant has an order of its own."""
    assert receiver(**{"url": URL, **other}) != receiver()


def test_headers_in_any_order_and_case() -> None:
    """A header's name has no case, and their order means nothing."""
    one = {"X-Scope-OrgID": "t", "X-A": "1"}
    other = {"x-a": "1", "x-scope-orgid": "t"}
    assert receiver(headers=one) == receiver(headers=other)
    assert receiver(headers=one) != receiver(headers={**one, "X-A": "2"})


def test_spellings_of_an_address() -> None:
    """Those of one IP address are one receiver."""
    assert receiver("http://127.1:1/") == receiver("http://127.0.0.1:1/")
    assert receiver("http://[::1]:1/") == receiver("http://[0:0::1]:1/")


def test_an_empty_label_is_none() -> None:
    """A series is its name and its other labels, in any order."""

    def series(name: str, labels: dict[str, str]) -> object:
        return _series(Payload(sample(name=name, labels=labels), "remote_write", "", b""))

    assert (
        series("m", {"a": "1", "b": ""})
        == series("m", {"b": "", "a": "1"})
        == series("m", {"a": "1"})
    )
    assert series("m", {"a": "1"}) != series("n", {"a": "1"})
    assert series("m", {"a": "1"}) != series("m", {"a": "2"})
