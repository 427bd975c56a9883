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
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _at(key, "a name is no string")
            if key.value == "<<" and not key.style:
                raise _at(key, "merge keys (<<) are not in YAML 1.2 (write the names out)")
            name = self.construct_object(key, deep=True)
            if not isinstance(name, str):
                shown = escape(cut(key.value, QUOTED_CHARACTERS))
                comma = (
                    " (decimals follow a point, not a comma)"
                    if node.flow_style and value.value == ""
                    else ""
                )
                raise _at(key, f"the name {shown} is no string: quote it{comma}")
            if name in names:
                raise _at(key, f"the name {variant(name)} stands twice in one object")
            names.add(name)
        mapping: dict[str, Any] = super().construct_mapping(node, deep=deep)
        return mapping


class _Loader(_ExactLoader):
    """Loads the core schema, floats as doubles."""


_REMEDIES: Final = (
    (r"\t", "tab|cannot start any token", "indent with spaces, not with tabs"),
    (r"[@`%]", "cannot start any token", "a text that begins with … needs quotes"),
    (
        r"",
        r"mapping values are not allowed",
        "a text with `: ` in it needs quotes; else look at the indentation",
    ),
    (
        r"",
        r"'-' indicator|find expected key|<block end>",
        "look at the indentation of this line and the ones above",
    ),
    (r"", r"',' or '", "a text with any of , : { } [ ] in it needs quotes"),
    (r"", r"another document", "one document is allowed: take out the line ---"),
)
"""By what stands at the place and what the parser says: the remedy. The first that fits counts."""
_BARE_PLACEHOLDER: Final = re.compile(r"[:\[,{]\s*\$\{")


def _reason(exc: Exception, text: str) -> str:
    """Return why *text* cannot be read: the line, what is wrong there, and the remedy if one is known."""
    if isinstance(exc, RecursionError):
        return "it is nested too deeply"
    if not isinstance(exc, yaml.MarkedYAMLError) or exc.problem_mark is None:
        return str(exc).partition("\n")[0]
    place = exc.problem_mark.line
    opened = exc.context_mark.line if exc.context_mark else place
    if "flow" in (exc.context or "") and opened != place:
        return f"line {opened + 1}: a bracket is not closed, up to line {place + 1}{_remedy(exc, exc.problem_mark, text)}"
    if "end of stream" in (exc.problem or "") and "quoted" in (exc.context or ""):
        return f"line {opened + 1}: a quotation mark is not closed"
    return f"line {place + 1}: {exc.problem}{_remedy(exc, exc.problem_mark, text)}"


def _remedy(exc: yaml.MarkedYAMLError, mark: yaml.Mark, text: str) -> str:
    lines = [*text.splitlines(), ""]
    opened = exc.context_mark.line if exc.context_mark else max(0, mark.line - 1)
    for number, line in enumerate(lines[opened : mark.line + 1], opened + 1):
        blanks = line[: len(line) - len(line.lstrip())]
        if not blanks.isascii():
            return f" (line {number} begins with a blank that is no space)"
        if "flow" in (exc.context or "") and _BARE_PLACEHOLDER.search(line):
            return " (put ${…} in quotes)"
    here = lines[min(mark.line, len(lines) - 1)][mark.column : mark.column + 1]
    for found, said, remedy in _REMEDIES:
        if re.match(found, here) and re.search(said, exc.problem or ""):
            return f" ({remedy.replace('…', here)})"
    return ""


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
            for node in events_of(document):
                found.append((node.start_mark.line + 1, loader.construct_document(node)))  # noqa: PERF401  # a comprehension would hide what raises
    except (yaml.YAMLError, ValueError, RecursionError) as exc:
        return Failure(f"not valid YAML: {_reason(exc, text)}")
    finally:
        if loader is not None:
            loader.dispose()
    return Success(found)


def events_of(document: Any) -> list[Any]:
    """Return the nodes of a document's events: its own, the elements of a list, or none."""
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
        node = loader.get_single_node()
        if node is None:
            return Failure("the document is empty")
        return Success(loader.construct_document(node))
    except (yaml.YAMLError, ValueError, RecursionError) as exc:
        return Failure(f"not valid YAML: {_reason(exc, text)}")
    finally:
        if loader is not None:
            loader.dispose()


def read_scalar(text: str) -> str | int | Decimal | bool | None:
    """Return what a plain scalar of YAML means; it is never more than a scalar."""
    kind = next((tag for tag, pattern, _ in _CORE if re.match(pattern, text)), "str")
    found: str | int | Decimal | bool | None = _MEANINGS[kind](text) if kind in _MEANINGS else text
    return found
