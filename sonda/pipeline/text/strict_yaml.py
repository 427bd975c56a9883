"""YAML as JSON sees it: nothing but objects, arrays, strings, numbers, booleans and null.

PyYAML follows YAML 1.1, in which `no` is false and a timestamp an object that has lost its
nanoseconds. Here plain scalars are what YAML 1.2's core schema says, and no key may stand twice.
Spec: https://yaml.org/spec/1.2.2/#103-core-schema
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, ClassVar, Final

import yaml
from returns.result import Failure, Result, Success

from sonda.pipeline.text.escape import variant

_SAFE: Final[type[Any]] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_DEEPEST: Final = 500
_FLOAT: Final = (
    r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z"
)
_CORE: Final = (
    ("bool", r"(?:true|True|TRUE|false|False|FALSE)\Z", list("tTfF")),
    ("null", r"(?:~|null|Null|NULL|)\Z", ["~", "n", "N", ""]),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)\Z", list("-+0123456789")),
    ("float", _FLOAT, list("-+.0123456789")),
)


class _Loader(_SAFE):  # type: ignore[misc]  # one of two classes, told apart when this is loaded
    """Loads the core schema, and refuses a name that stands twice."""

    yaml_implicit_resolvers: ClassVar[dict[str, list[Any]]] = {}

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[str, Any]:
        names: set[str] = set()
        for key, _ in node.value:
            name = self.construct_object(key, deep=True)
            if not isinstance(name, str):
                raise _at(key, f"the name {name!r} is no string: quote it")
            if name in names:
                raise _at(key, f"the name {variant(name)} stands twice in one object")
            names.add(name)
        mapping: dict[str, Any] = super().construct_mapping(node, deep=deep)
        return mapping


def _at(node: Any, reason: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=reason, problem_mark=node.start_mark)


def _float(loader: Any, node: Any) -> float:
    """Read a float as Python does, but for the dot before `inf` and `nan`."""
    text: str = loader.construct_scalar(node).lower()
    return float(text.replace(".inf", "inf").replace(".nan", "nan"))


for _tag, _pattern, _first in _CORE:
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), _first)
_Loader.add_constructor("tag:yaml.org,2002:float", _float)


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
            for node in _events(document):
                found.append((node.start_mark.line + 1, loader.construct_document(node)))  # noqa: PERF401  # a comprehension would hide what raises
    except yaml.MarkedYAMLError as exc:
        line = f"line {exc.problem_mark.line + 1}: " if exc.problem_mark else ""
        return Failure(f"not valid YAML: {line}{exc.problem}")
    except (yaml.YAMLError, ValueError) as exc:
        return Failure(f"not valid YAML: {exc}")
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


class _ExactLoader(_Loader):
    """Reads floats as `Decimal`, which keeps their text."""


def _decimal(loader: Any, node: Any) -> Decimal:
    text: str = loader.construct_scalar(node).lower()
    return Decimal(text.replace(".inf", "inf").replace(".nan", "nan"))


_ExactLoader.add_constructor("tag:yaml.org,2002:float", _decimal)


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
        return Failure(f"not valid YAML: {exc}")
    except RecursionError:
        return Failure("not valid YAML: it is nested too deeply")
    finally:
        if loader is not None:
            loader.dispose()


def read_scalar(text: str) -> str | int | Decimal | bool | None:
    """Return what a plain scalar of YAML means; it is never more than a scalar."""
    kind = next((tag for tag, pattern, _ in _CORE if re.match(pattern, text)), "str")
    match kind:
        case "bool":
            return text.lower() == "true"
        case "null":
            return None
        case "int":
            return int(text)
        case "float":
            return Decimal(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
        case _:
            return text
