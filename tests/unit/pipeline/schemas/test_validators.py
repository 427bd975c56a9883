"""Keywords of our own, and issues that are counted where there are too many to explain."""

from __future__ import annotations

from typing import Any

import pytest

from sonda.pipeline.problems import MAX_ISSUES
from sonda.pipeline.schemas.registry import compile_fast
from sonda.pipeline.schemas.validators import MORE, compile_explaining

ASCENDING = {"x-durations-ascend": {"initial": "100ms", "max": "5s"}}


@pytest.mark.parametrize(
    ("schema", "document", "is_valid"),
    [
        (ASCENDING, {"initial": "1s", "max": "2s"}, True),
        (ASCENDING, {"initial": "2s", "max": "2s"}, True),
        (ASCENDING, {"initial": "3s", "max": "2s"}, False),
        (ASCENDING, {"initial": "6s"}, False),  # the default of the other is 5 s
        (ASCENDING, {"max": "50ms"}, False),
        (ASCENDING, {}, True),
        ({"x-reserved": ["host", "te"]}, "Host", False),
        ({"x-reserved": ["host", "te"]}, "x-host", True),
        ({"x-max-values": 3}, {"a": [1, 2]}, True),
        ({"x-max-values": 3}, {"a": [1, 2, 3, 4]}, False),
    ],
)
def test_both_validators_know_our_keywords(
    schema: dict[str, Any], document: Any, is_valid: bool
) -> None:
    """The fast one decides, and the other explains what the fast one has refused."""
    assert compile_fast(schema).is_valid(document) is is_valid
    assert compile_explaining(schema).is_valid(document) is is_valid


STRINGS = {"type": "object", "additionalProperties": {"type": "string", "maxLength": 2}}


def errors(schema: dict[str, Any], document: Any) -> list[Any]:
    return list(compile_explaining(schema).iter_errors(document))


def counted(found: list[Any]) -> list[tuple[bool, int]]:
    return [one.validator_value for one in found if one.validator == MORE]


@pytest.mark.parametrize("count", [1, MAX_ISSUES, MAX_ISSUES + 1, 10_000])
@pytest.mark.parametrize(("value", "structural"), [(1, True), ("long", False)])
def test_many_members_are_wrong(count: int, value: object, structural: bool) -> None:
    """The first ones are explained and the others counted, those of another type apart."""
    document = {"fine": "ok", **{f"k{number}": value for number in range(count)}}
    found = errors(STRINGS, document)
    explained = [one for one in found if one.validator != MORE]
    assert [list(one.path) for one in explained] == [
        [f"k{number}"] for number in range(min(count, MAX_ISSUES))
    ]
    assert counted(found) == ([(structural, count - MAX_ISSUES)] if count > MAX_ISSUES else [])


def test_items_are_explained_at_their_places() -> None:
    """Those that are wrong, among others that are not."""
    schema = {"type": "array", "items": {"type": "integer", "minimum": 0}}
    found = errors(schema, [1, "x", -1, 2, None])
    assert [list(one.path) for one in found] == [[1], [2], [4]]


def test_a_list_that_is_too_long_is_that_alone() -> None:
    """Members beyond the most are not looked at."""
    schema = {"type": "array", "maxItems": 2, "items": {"type": "integer"}}
    assert [one.message for one in errors(schema, [1, 2, "x", "y"])] == ["too many"]


@pytest.mark.parametrize(
    ("schema", "document"),
    [
        ({"type": "string"}, [["x" * 100_000]]),
        ({"enum": ["a"]}, "x" * 100_000),
        ({"not": {}}, "x" * 100_000),
        ({"additionalProperties": False}, {"x" * 100_000: 1}),
        ({"maxProperties": 1}, {"x" * 100_000: 1, "b": 2}),
    ],
)
def test_an_error_quotes_nothing_of_the_document(schema: dict[str, Any], document: Any) -> None:
    """It may be a megabyte."""
    [error] = errors(schema, document)
    assert len(error.message) < 100


def test_names() -> None:
    """An object's names are judged, unless there are too many members at all."""
    schema = {"maxProperties": 3, "propertyNames": {"pattern": "^[a-z]+$"}}
    assert [one.validator for one in errors(schema, {"a": 1, "B": 2})] == ["pattern"]
    many = {f"B{number}": 1 for number in range(4)}
    assert [one.validator for one in errors(schema, many)] == ["maxProperties"]
