"""What JSON cannot express is named with its place, and with what to write instead."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonda.pipeline.json_values import find_unwritable
from tests.property.strategies import unhurried


def refuse(_value: object) -> NoReturn:
    raise TypeError


def found(value: object) -> list[str]:
    """Return what is found, as people read it."""
    return [f"{issue.path}: {issue.reason}" for issue in find_unwritable(value, refuse)]


@unhurried
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False).map(abs),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_json_has_nothing_to_complain_of(value: object) -> None:
    """Only a number that is not finite stands out among JSON's own kinds."""
    assert all("expected a finite number, got inf" in one for one in found(value))
    assert bool(found(value)) == ("inf" in repr_of_floats(value))


def repr_of_floats(value: Any) -> str:
    match value:
        case float():
            return repr(value)
        case dict():
            return repr_of_floats(list(value.values()))
        case list():
            return " ".join(map(repr_of_floats, value))
        case _:
            return ""


@pytest.mark.parametrize(
    ("value", "reasons"),
    [
        ({"a": [math.nan]}, ["a.0: expected a finite number, got nan"]),
        (
            {"labels": {b"k": 1}},
            ["labels: expected names that are strings, got b'k' (try .decode())"],
        ),
        ({(1, 2): 1}, [": expected names that are strings, got (1, 2)"]),
        (
            {"a": Decimal(1), "b": {1}},
            [
                "a: Decimal is no JSON value (try float(…))",
                "b: set is no JSON value (try a list)",
            ],
        ),
        ({"a": Decimal}, ["a: the class Decimal is no JSON value (try Decimal(…))"]),
    ],
)
def test_what_json_cannot_express(value: object, reasons: list[str]) -> None:
    """Each is named once, in its order, with the remedy where there is one."""
    assert found(value) == reasons


def test_a_number_that_no_double_holds() -> None:
    """What overflows as it is turned into a plain number is a number out of range."""

    def overflow(_value: object) -> NoReturn:
        raise OverflowError

    (issue,) = find_unwritable({"metric": {"value": object()}}, overflow)
    assert (issue.path, issue.reason) == (
        "metric.value",
        "a number is out of the range of a double",
    )


def test_what_is_written_in_its_place_is_looked_at() -> None:
    """An object that stands for a mapping is searched as that mapping."""
    issues = find_unwritable({"sink": object()}, lambda _: {"timeout": math.inf})
    assert [issue.path for issue in issues] == ["sink.timeout"]


def test_a_value_that_holds_itself_more_than_once() -> None:
    """It is looked into once: its paths double with every step, without an end."""
    circle: list[object] = [math.inf]
    circle += [circle, {"again": circle}, (circle,)]
    assert found({"labels": circle}) == ["labels.0: expected a finite number, got inf"]


def test_a_value_in_two_places_is_named_in_both() -> None:
    """Only what stands in itself is left out, not what stands twice side by side."""
    shared = [math.inf]
    assert len(found({"a": shared, "b": shared})) == 2
