"""How documents are read: exact numbers, placeholders in files, and hostile input in bounded time."""

from __future__ import annotations

from collections import OrderedDict
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import Any

import pytest
from returns.result import Failure

from sonda.pipeline.problems import Malformed
from sonda.pipeline.scenarios.reading import (
    MOST_BYTES,
    from_tree,
    read_file,
    read_json,
    read_yaml,
)

VARIABLES = {"RATE": "2.5", "URL": "http://x", "TRICK": "{a: 1}", "MONEY": "5", "EMPTY": ""}


def test_numbers_keep_their_text() -> None:
    """A float comes as the decimal that was written."""
    assert read_json(b'{"a":0.10,"b":1}').unwrap().tree == {"a": Decimal("0.10"), "b": 1}
    assert read_yaml(b"a: 0.10\nb: 1").unwrap().tree == {"a": Decimal("0.10"), "b": 1}


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("${RATE}", Decimal("2.5")),
        ("${MISSING:-7}", 7),
        ("${MISSING:-}", None),
        ("${EMPTY}", None),
        ("${TRICK}", "{a: 1}"),
        ("'${URL}/push'", "http://x/push"),
        ("'$${URL}'", "${URL}"),
        ("'a $$ b $5'", "a $ b $5"),
        ("'${MISSING:-a:b} c'", "a:b c"),
    ],
)
def test_placeholders(written: str, value: object) -> None:
    """A placeholder is replaced in a value, and cannot add structure."""
    assert read_file(f"a: {written}".encode(), VARIABLES).unwrap().tree == {"a": value}


def test_names_are_not_replaced() -> None:
    """A key is what it is, and no request's body has placeholders."""
    assert read_file(b"'${RATE}': 1", VARIABLES).unwrap().tree == {"${RATE}": 1}
    assert read_yaml(b"a: ${RATE}").unwrap().tree == {"a": "${RATE}"}
    assert read_file(b'{"a":"${RATE}"}', VARIABLES).unwrap().tree == {"a": Decimal("2.5")}


def test_an_unset_name_is_an_error_with_its_place() -> None:
    """A name that the environment lacks and that has no default is named, where it stands."""
    failed = read_file(b"a: [{b: 'x ${NOPE}'}]\nc: ${1}", VARIABLES)
    assert isinstance(failed.failure(), Malformed)
    assert str(failed.failure()) == (
        "a[0].b: the environment has no NOPE, and ${NOPE} no default; "
        'c: expected ${NAME} or ${NAME:-default}, got "${1}"; $$ is a $'
    )


BOMB = b"a: &a [x,x,x,x,x,x,x,x,x,x]\n" + b"".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 10)}]\n".encode()
    for n in range(12)
)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (BOMB, "the scenario holds too many values"),
        (b"a: &a {b: *a}", "is nested too deeply"),
        (b"a: " + b"[" * 200_000, "is nested too deeply"),
        (b"a: " + b"[" * 100 + b"]" * 100, "is nested too deeply"),
        (b"- " * 100_000, "is nested too deeply"),
        (b"a" * (MOST_BYTES + 1), "the scenario is longer than 1,048,576 bytes"),
        (b"a: 1\na: 2", "the name 'a' stands twice in one object"),
        (b"\xff", "the scenario is not UTF-8 at byte 0"),
        (b"a: !!python/object:os.system x", "not valid YAML"),
        (b"1: 2", "no string"),
        (b"? [a]\n: 1", "line 1: a name is no string"),
        (BOMB + b"? *m\n: 1", "a name is no string"),
        (b"a: !!float 1:30", "line 1: '1:30' does not read as float"),
        (b"a: !!int ''", "line 1: '' does not read as int"),
        (b"a: !!bool yes", "line 1: 'yes' does not read as bool"),
        (b"a: !!null none", "line 1: 'none' does not read as null"),
        (b"a: !!timestamp soon", "line 1: could not determine a constructor"),
        (b"a: !!binary x", "line 1: could not determine a constructor"),
    ],
)
def test_hostile_yaml(raw: bytes, reason: str) -> None:
    """What would explode is refused."""
    failed = read_yaml(raw)
    assert isinstance(failed, Failure)
    assert isinstance(failed.failure(), Malformed)
    assert reason in str(failed.failure())


@pytest.mark.parametrize(
    "number",
    [
        "1e-99999999",
        "1e999",
        ".inf",
        "-.inf",
        ".nan",
        "1e400",
        "9" * 5000,
        f"1e{10**19}",
        f"1e-{10**19}",
    ],
)
def test_hostile_numbers(number: str) -> None:
    """A number that no double can hold, or that would take gigabytes, is noted and not used."""
    found = read_yaml(f"a: {{b: {number}}}".encode()).unwrap()
    assert found.tree == {"a": {"b": 1}}
    assert found.bad_numbers == (("a", "b"),)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0o17", 15),
        ("0x1F", 31),
        ("-017", -17),
        ("!!float 2", Decimal(2)),
        ("!!str 2", "2"),
        ("!!null ''", None),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("0b11", "0b11"),
        ("yes", "yes"),
        ("2026-01-01", "2026-01-01"),
    ],
)
def test_scalars_of_the_core_schema(text: str, value: object) -> None:
    """A plain scalar is what YAML 1.2's core schema says, and what YAML 1.1 said is a string."""
    assert read_yaml(f"a: {text}".encode()).unwrap().tree == {"a": value}


def test_a_number_of_json_with_an_exponent_beyond_any() -> None:
    """It is noted as one that no double can hold."""
    found = read_json(f'{{"a": 1e-{10**19}}}'.encode()).unwrap()
    assert found.bad_numbers == (("a",),)


class Signal(StrEnum):
    """A choice of a program's own."""

    METRICS = "metrics"


class Level(IntEnum):
    """A number with a name."""

    HIGH = 3


class Text(str):
    """As a template engine marks what it has escaped."""

    __slots__ = ()

    def __str__(self) -> str:
        return "another"


class Real(float):
    """As NumPy's `float64` shows itself."""

    def __repr__(self) -> str:
        return f"Real({float(self)})"


class Money(Decimal):
    """A number of a program's own."""


class Numbers(list[Any]):
    """A list of a program's own."""


def test_a_programs_own_types_become_plain_ones() -> None:
    """What derives from a type of JSON is that type, with its very value, wherever it stands."""
    given = OrderedDict(
        {Text("a"): Text("b"), "n": Numbers([Level.HIGH, Real(0.1), Money("0.10")])}
    )
    tree = from_tree({"signal_type": Signal.METRICS, "labels": given}).unwrap().tree
    assert tree == {
        "signal_type": "metrics",
        "labels": {"a": "b", "n": [3, Decimal("0.1"), Decimal("0.10")]},
    }
    labels = tree["labels"]
    assert [type(one) for one in labels["n"]] == [int, Decimal, Decimal]
    assert {type(one) for one in (tree["signal_type"], *labels, labels["a"])} == {str}
    assert (type(labels), type(labels["n"])) == (dict, list)


def test_what_no_document_holds_is_refused_at_its_place() -> None:
    """A number of a program's own is judged as any, and a type of no kind of JSON is named."""
    assert from_tree({"a": [Real("nan"), Money("inf")]}).unwrap().bad_numbers == (
        ("a", 0),
        ("a", 1),
    )
    assert str(from_tree({"a": [{1}]}).failure()) == "a[0]: set is no JSON value"
