"""YAML as JSON sees it: nothing but objects, arrays, strings, numbers, booleans and null.

PyYAML follows YAML 1.1, in which `no` is false and a timestamp an object that has lost its
nanoseconds. Here plain scalars are what YAML 1.2's core schema says, and no key may stand twice.
Spec: https://yaml.org/spec/1.2.2/#103-core-schema
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, ClassVar, Final

import yaml
from returns.result import Failure, Result, Success

from sonda.pipeline.text.escape import QUOTED_CHARACTERS, cut, escape, variant
from sonda.pipeline.values.decimals import read_decimal

_SAFE: Final[type[Any]] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_MOST_VALUES: Final = 1 << 20
_DEEPEST: Final = 500
_FLOAT: Final = (
    r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z"
)
_CORE: Final = (
    ("bool", r"(?:true|True|TRUE|false|False|FALSE)\Z", list("tTfF")),
    ("null", r"(?:~|null|Null|NULL|)\Z", ["~", "n", "N", ""]),
    ("int", r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)\Z", list("-+0123456789")),
    ("float", _FLOAT, list("-+.0123456789")),
)
_MOST_DIGITS: Final = 1000  # of an integer: the largest double has 309
_MOST_BITS: Final = 1024  # of the largest double
_TAG: Final = "tag:yaml.org,2002:"


def _integer(text: str) -> int | Decimal:
    """Return an integer; one longer than any that is used as a `Decimal`, which costs less."""
    base = {"0o": 8, "0x": 16}.get(text[:2])
    if base is not None:
        return int(text[2:], base)
    return int(text) if len(text) <= _MOST_DIGITS else read_decimal(text)


def _float(text: str) -> Decimal:
    """Return a float, whose `inf` and `nan` have a dot before them."""
    return read_decimal(text.lower().replace(".inf", "inf").replace(".nan", "nan"))


_MEANINGS: Final[Mapping[str, Callable[[str], Any]]] = {
    "bool": lambda text: text.lower() == "true",
    "null": lambda _: None,
    "int": _integer,
    "float": _float,
}


class _ExactLoader(_SAFE):  # type: ignore[misc]  # one of two classes, told apart when this is loaded
    """Loads the core schema, floats as `Decimal`, and refuses a name that stands twice."""

    yaml_implicit_resolvers: ClassVar[dict[str, list[Any]]] = {}
    yaml_constructors: ClassVar[dict[str | None, Any]] = {
        tag: constructor
        for tag, constructor in _SAFE.yaml_constructors.items()
        if tag in {None, f"{_TAG}str", f"{_TAG}seq", f"{_TAG}map"}
    }

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[str, Any]:
        names: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _at(key, "a name is no string")
            name = self.construct_object(key, deep=True)
            if not isinstance(name, str):
                raise _at(
                    key,
                    f"the name {escape(cut(key.value, QUOTED_CHARACTERS))} is no string: quote it",
                )
            if name in names:
                raise _at(key, f"the name {variant(name)} stands twice in one object")
            names.add(name)
        mapping: dict[str, Any] = super().construct_mapping(node, deep=deep)
        return mapping


class _Loader(_ExactLoader):
    """Loads the core schema, floats as doubles."""


def _at(node: Any, reason: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=reason, problem_mark=node.start_mark)


def _scalar(loader: Any, node: Any) -> Any:
    """Construct a scalar by its tag, which may be written out, and then by its pattern, too."""
    text: str = loader.construct_scalar(node)
    kind = node.tag.removeprefix(_TAG)
    kinds = ("int", "float") if kind == "float" else (kind,)
    if not any(re.match(pattern, text) for name, pattern, _ in _CORE if name in kinds):
        raise _at(node, f"{variant(text)} does not read as {kind}")
    return _MEANINGS[kind](text)


def _short_integer(loader: Any, node: Any) -> int:
    found = _scalar(loader, node)
    if isinstance(found, Decimal) or found.bit_length() > _MOST_BITS:
        raise _at(node, "the integer is out of range")
    return int(found)


def _double(loader: Any, node: Any) -> float:
    return float(_scalar(loader, node))


for _kind, _pattern, _first in _CORE:
    _ExactLoader.add_implicit_resolver(f"{_TAG}{_kind}", re.compile(_pattern), _first)
    _ExactLoader.add_constructor(f"{_TAG}{_kind}", _scalar)
_Loader.add_constructor(f"{_TAG}int", _short_integer)
_Loader.add_constructor(f"{_TAG}float", _double)


def _check_depth(text: str) -> None:
    """Raise `MarkedYAMLError` for a text nested so deeply that the C parser would overflow its stack."""
    depth = 0
    for event in yaml.parse(text, Loader=_SAFE):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _DEEPEST:
                raise _at(event, "it is nested too deeply")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _check_values(document: Any) -> None:
    """Raise `MarkedYAMLError` for a document that aliases make too large to be written out.

    A collection that holds itself counts once; what is made of it is no JSON, which is found later.
    """
    counts: dict[int, int] = {}

    def count(node: Any) -> int:
        if isinstance(node, yaml.ScalarNode):
            return 1
        if id(node) not in counts:
            counts[id(node)] = 0
            inner = node.value
            if isinstance(node, yaml.MappingNode):
                inner = [one for pair in inner for one in pair]
            counts[id(node)] = 1 + sum(map(count, inner))
        return counts[id(node)]

    if count(document) > _MOST_VALUES:
        raise _at(document, "it holds too many values")


def read_events(text: str) -> Result[list[tuple[int, Any]], str]:
    """Read the events of a stream, each with the line where it begins; fails with the reason.

    A document is an event or a list of events; an empty one is nothing.
    """
    found: list[tuple[int, Any]] = []
    loader = None
    try:
        _check_depth(text)
        loader = _Loader(text)
        while loader.check_node():
            document = loader.get_node()
            _check_values(document)
            for node in _events(document):
                found.append((node.start_mark.line + 1, loader.construct_document(node)))  # noqa: PERF401  # a comprehension would hide what raises
    except yaml.MarkedYAMLError as exc:
        line = f"line {exc.problem_mark.line + 1}: " if exc.problem_mark else ""
        return Failure(f"not valid YAML: {line}{exc.problem}")
    except (yaml.YAMLError, ValueError) as exc:
        return Failure(f"not valid YAML: {str(exc).partition(chr(10))[0]}")
    except RecursionError:
        return Failure("not valid YAML: it is nested too deeply")
    finally:
        if loader is not None:
            loader.dispose()
    return Success(found)


def _events(document: Any) -> list[Any]:
    match document:
        case yaml.SequenceNode():
            return list(document.value)
        case yaml.ScalarNode(tag="tag:yaml.org,2002:null", value=""):
            return []
        case _:
            return [document]


def read_document(text: str) -> Result[Any, str]:
    """Return the only document of a stream, floats as `Decimal`; fails with the reason.

    What an alias names is one object, however often it stands there.
    """
    loader = None
    try:
        _check_depth(text)
        loader = _ExactLoader(text)
        return Success(loader.get_single_data())
    except yaml.MarkedYAMLError as exc:
        line = f"line {exc.problem_mark.line + 1}: " if exc.problem_mark else ""
        return Failure(f"not valid YAML: {line}{exc.problem}")
    except (yaml.YAMLError, ValueError) as exc:
        return Failure(f"not valid YAML: {str(exc).partition(chr(10))[0]}")
    except RecursionError:
        return Failure("not valid YAML: it is nested too deeply")
    finally:
        if loader is not None:
            loader.dispose()


def read_scalar(text: str) -> str | int | Decimal | bool | None:
    """Return what a plain scalar of YAML means; it is never more than a scalar."""
    kind = next((tag for tag, pattern, _ in _CORE if re.match(pattern, text)), "str")
    found: str | int | Decimal | bool | None = _MEANINGS[kind](text) if kind in _MEANINGS else text
    return found
