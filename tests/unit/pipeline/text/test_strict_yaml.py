"""YAML is read as its core schema says, exactly, and hostile documents are refused in words."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from returns.result import Failure, Success

from sonda.pipeline.text.strict_yaml import read_document, read_events, read_scalar


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("null", None),
        ("1_000", "1_000"),
        ("0o17", 15),
        ("0x1F", 31),
        ("017", 17),
        ("1:30", "1:30"),
        ("2026-01-01", "2026-01-01"),
        ("2026-01-01T00:00:00.123456789Z", "2026-01-01T00:00:00.123456789Z"),
        ("0.1", Decimal("0.1")),
        ("1e3", Decimal("1e3")),
        (".5", Decimal("0.5")),
        ("'1'", "1"),
        ("!!str 1", "1"),
        ("9" * 400, int("9" * 400)),
    ],
)
def test_a_scalar(text: str, meant: Any) -> None:
    """What YAML 1.1 takes for more stays a string; a number keeps its digits."""
    found = read_document(f"a: {text}\n")
    assert found == Success({"a": meant})
    assert type(found.unwrap()["a"]) is type(meant)


def test_numbers_that_are_none() -> None:
    """They are read, and refused where a number is expected."""
    assert read_scalar(".inf") == Decimal("Infinity")
    assert read_scalar("-.inf") == Decimal("-Infinity")
    found = read_scalar(".nan")
    assert isinstance(found, Decimal)
    assert found.is_nan()
    assert read_scalar("[1]") == "[1]"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: 1\na: 2", "line 2: the name 'a' stands twice in one object"),
        ("1: a", "line 1: the name 1 is no string: quote it"),
        ("[a]: b", "line 1: a name is no string"),
        ("a: !!python/object:os.system x", "line 1: could not determine a constructor"),
        ("a: !!int x", "line 1: 'x' does not read as int"),
        ("a: [", "line"),
        ("a: 1\n---\nb: 2", "line 2: but found another document"),
        ("[" * 1000, "nested too deeply"),
        ("a: *b", "line 1: found undefined alias"),
        ("\x00", "not valid YAML: "),
    ],
)
def test_what_is_no_document(text: str, why: str) -> None:
    """The reason names the line."""
    found = read_document(text)
    assert isinstance(found, Failure)
    assert found.failure().startswith("not valid YAML: ")
    assert why in found.failure()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a:\n\tb: 1", "line 2: found character that cannot start any token (indent with spaces"),
        (
            "a:\n  - b: 1\n    c: 2\n   d: 3",
            "(look at the indentation of this line and the ones ab",
        ),
        ("a:\n  - b: 1\n\u00a0   c: d\n    e: 2", "(line 3 begins with a blank that is no space)"),
        ("a: GET: /x", "line 1: mapping values are not allowed in this context (a text with `: ` "),
        ("a: [b: c: d]", "(a text with any of , : { } [ ] in it needs quotes)"),
        ("a: @b", "(a text that begins with @ needs quotes)"),
        ("x: 1\na: {b: 1\nc: 2\n", "line 2: a bracket is not closed, up to line 3"),
        ("x: 1\na: 'b\nc: 2\n", "line 2: a quotation mark is not closed"),
        ("a: {b: ${C} }", "line 1: did not find expected ',' or '}' (put ${…} in quotes)"),
        (
            "a: {b: 10,5}",
            "the name 5 is no string: quote it (decimals follow a point, not a comma)",
        ),
        ("<<: {a: 1}", "line 1: merge keys (<<) are not in YAML 1.2 (write the names out)"),
        ("a: 1\n---\nb: 2", "(one document is allowed: take out the line ---)"),
    ],
)
def test_slips_have_a_remedy(text: str, why: str) -> None:
    """In brackets after what is wrong."""
    assert why in read_document(text).failure()


@pytest.mark.parametrize("text", ["", "# a comment", "---\n"])
def test_nothing_is_no_document(text: str) -> None:
    """It is said in words, not by a type."""
    assert read_document(text) == (
        Success(None) if "---" in text else Failure("the document is empty")
    )


def test_an_alias_is_one_object() -> None:
    """However often it stands there: a small text cannot become a large document."""
    text = "a: &a [1]\n" + "".join(
        f"{new}: &{new} [*{old}, *{old}]\n" for old, new in zip("abcdefg", "bcdefgh", strict=True)
    )
    found = read_document(text)
    assert isinstance(found, Success)
    document = found.unwrap()
    assert document["h"][0] is document["h"][1] is document["g"]


def test_the_events_of_a_stream() -> None:
    """A document is one, or a list of them; an empty one is nothing; floats are doubles."""
    assert read_events("a: 0.5\n---\n---\n- b: 1\n- c\n") == Success(
        [(1, {"a": 0.5}), (4, {"b": 1}), (5, "c")]
    )
    assert read_events("") == Success([])
    refused = read_events(f"a: {'9' * 400}")
    assert refused == Failure("not valid YAML: line 1: the integer is out of range")
