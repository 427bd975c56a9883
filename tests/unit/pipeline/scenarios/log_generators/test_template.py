"""Messages of templates: what fills them, what a pool is, and how severities are weighted."""

from __future__ import annotations

from collections import Counter
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given

from sonda.pipeline.scenarios.draw import Draw, draw
from sonda.pipeline.scenarios.log_generators import Messages
from sonda.pipeline.scenarios.log_generators.template import LOG_GENERATOR
from sonda.pipeline.scenarios.numbers import fraction
from tests.property.strategies import texts, unhurried

TIMES = range(0, 1_000_000_000 * 1000, 1_000_000_000)


def draw_for(purpose: str) -> Draw:
    return draw(7, "app", purpose)


def built(*templates: Any, weights: dict[str, float] | None = None) -> Messages:
    parameters: dict[str, Any] = {"templates": list(templates)}
    if weights is not None:
        parameters["severity_weights"] = {name: fraction(one) for name, one in weights.items()}
    assert list(LOG_GENERATOR.check(parameters)) == []
    return LOG_GENERATOR.build(parameters, draw_for)


def wrong(**parameters: Any) -> list[tuple[tuple[str | int, ...], str]]:
    return list(LOG_GENERATOR.check({"templates": ["x"], **parameters}))


def test_templates_take_turns() -> None:
    """Number tick mod n, from any tick on, and the plain form is the vector form."""
    messages = built("a {tick}", "b", "{{c}} 100% {tick} %s")
    told = [one.message for one in messages.over(range(3, 9), TIMES[3:9])]
    assert told == ["a 3", "b", "{c} 100% 5 %s", "a 6", "b", "{c} 100% 8 %s"]
    assert [messages.at(tick, TIMES[tick]).message for tick in range(3, 9)] == told


@unhurried
@given(texts(max_size=30))
def test_a_text_without_placeholders_is_itself(text: str) -> None:
    """Whatever stands in it, once its braces are written twice."""
    written = text.replace("{", "{{").replace("}", "}}")
    assert built(written).at(5, 0) == ("info", text, {})


def test_a_pool_is_a_field_too() -> None:
    """Its drawn value stands in the text and in the event; all of its values are drawn."""
    pools = {"who": ["ann", "bob", "cy"], "code": ["1", "2"]}
    messages = built({"message": "{who}: {code} {who}", "field_pools": pools})
    found = list(messages.over(range(200), TIMES[:200]))
    for _, message, fields in found:
        assert message == f"{fields['who']}: {fields['code']} {fields['who']}"
    assert {(one.fields["who"], one.fields["code"]) for one in found} == {
        (who, code) for who in pools["who"] for code in pools["code"]
    }
    assert [messages.at(tick, 0).fields for tick in range(9)] == [one.fields for one in found[:9]]


def test_pools_that_combine_to_many() -> None:
    """Their fields are made one by one, and are the same."""
    many = {name: [f"{name}{n}" for n in range(40)] for name in ("a", "b")}
    few = {"a": many["a"]}
    found = built({"message": "{a}", "field_pools": many}).over(range(50), TIMES[:50])
    alone = built({"message": "{a}", "field_pools": few}).over(range(50), TIMES[:50])
    assert list(found.messages) == list(alone.messages)
    assert [fields["a"] for fields in found.fields] == list(alone.messages)


def test_what_is_built_in() -> None:
    """The tick, the stamp as `json_lines` writes it, and a UUID of version 4 of its own each time."""
    messages = built("{tick} {timestamp} {uuid}")
    tick, stamp, uuid = messages.at(12, 1_999_999).message.split()
    assert (tick, stamp) == ("12", "1970-01-01T00:00:00.001Z")
    assert UUID(uuid).version == 4
    uuids = {one.message.split()[2] for one in messages.over(range(100), TIMES[:100])}
    assert len(uuids) == 100


def test_severities_follow_their_weights() -> None:
    """A weight of 0 is never drawn; without weights all is info; a scale changes nothing."""
    weights = {"error": 1.0, "warn": 0.0, "debug": 3.0}
    severities = built("x", weights=weights).over(range(2000), range(2000)).severities
    counted = Counter(severities)
    assert counted.keys() == {"error", "debug"}
    assert 0.2 < counted["error"] / 2000 < 0.3
    tenfold = {name: 10 * weight for name, weight in weights.items()}
    assert built("x", weights=tenfold).over(range(2000), range(2000)).severities == severities
    assert set(built("x").over(range(3), range(3)).severities) == {"info"}


@pytest.mark.parametrize(
    ("template", "where", "reason"),
    [
        ("{who}", (), 'there is no pool "who"; placeholders: {tick}, {timestamp}, {uuid}'),
        ("{}", (), 'there is no pool ""; placeholders: {tick}, {timestamp}, {uuid}'),
        ("a { b", (), "a brace stands alone: write {{ or }} for one"),
        ("a } b", (), "a brace stands alone: write {{ or }} for one"),
        (
            {"message": "{tick}", "field_pools": {"tick": ["1"]}},
            ("field_pools", "tick"),
            "is built in: choose another name",
        ),
        ({"message": "{b}", "field_pools": {"a": ["1"]}}, ("message",), "there is no pool"),
    ],
)
def test_what_is_refused(template: Any, where: tuple[str, ...], reason: str) -> None:
    """With its place and with what can be written instead."""
    ((path, said),) = wrong(templates=["fine", template])
    assert path == ("templates", 1, *where)
    assert said.startswith(reason)


def test_weights_that_are_all_nothing() -> None:
    """Then there is nothing to draw."""
    assert wrong(severity_weights={"info": 0}) == [
        (("severity_weights",), "at least one weight must be above 0")
    ]
