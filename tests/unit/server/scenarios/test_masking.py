"""A document shows others no credentials, wherever they stand in it."""

from __future__ import annotations

import pytest

from sonda.server.scenarios.masking import masked


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"headers": {"X-Scope": "team", "Authorization": "b"}}, {"X-Scope": "***", "Authorization": "***"}),
        ({"password": "p"}, "***"),
        ({"client_secret": "p"}, "***"),
        ({"Api-Key": "p"}, "p"),  # no field of ours; header values are hidden all together
        ({"api_key": "p"}, "***"),
        ({"apikey": "p"}, "***"),
        ({"bearer_TOKEN": "p"}, "***"),
        ({"url": "https://u:p@h/x"}, "https://***@h/x"),
        ({"brokers": "u:p@a:1"}, "***@a:1"),
        ({"endpoint": "http://h"}, "http://h"),
        ({"name": "https://u:p@h/x"}, "https://u:p@h/x"),
        ({"password": None}, None),
        ({"rate": 3}, 3),
    ],
)  # fmt: skip
def test_a_field(document: dict[str, object], expected: object) -> None:
    """By its name it is a secret, a target with a login in it, or neither."""
    [name] = document
    assert masked(document) == {name: expected}


def test_any_depth() -> None:
    """Lists and mappings are gone through, and what was given is left as it was."""
    document = {
        "scenarios": [{"sink": {"type": "loki", "headers": {"A": "b"}, "url": "http://u@h"}}]
    }
    shown = masked(document)
    assert shown == {
        "scenarios": [{"sink": {"type": "loki", "headers": {"A": "***"}, "url": "http://***@h"}}]
    }
    assert document["scenarios"][0]["sink"]["headers"] == {"A": "b"}
