"""Laws of the schemas: the fast validators and the ones that have the words say the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from returns.result import Success

from sonda.pipeline.schemas.registry import PLUGINS, REQUEST, Kind, fast_validator
from sonda.pipeline.schemas.validators import REGISTRY, validator
from sonda.pipeline.stages.parse import parse
from sonda.pipeline.stages.validate import _examine, _recall, validate
from tests.property.strategies import json_values, texts, unhurried
from tests.support.bodies import LOG, METRIC, changed

Draw = Callable[[st.SearchStrategy[Any]], Any]
SCHEMAS: Final[list[tuple[Kind | None, str]]] = [
    (None, ""),
    *((kind, name) for kind, schemas in PLUGINS.items() for name in schemas),
]
NEARLY: Final = ("\n", "é", "٣", "\u2028", " ", "😀", "\x00", "0")
WORDS: Final = (
    "__name__", "a", "time", "10s", "0s", "1.5m", "0.0s", "1d", "٣s", "h:1", "h:٣", "[::1]:1", "h:1,h:2",
    "http://h", "HTTP://h", "https://u:p@h:1/x", "http://h:0", "Host", "hOST", "te", "grpc-x", "x-bin",
    "X-A", "content-type", "2026-03-23T14:59:04Z", "٢026-03-23T14:59:04Z", "2026-03-23T14:59:60Z",
)  # fmt: skip
NUMBERS: Final = (0, 1, 17, 18, -1, 2.0, 2.5, -0.0, 1e30, 10**30, 10**308, 1.0, 2**63, 5e-324)


def same_verdict(kind: Kind | None, name: str, document: Any) -> bool:
    """Ask both validators, who must agree."""
    fast = fast_validator(kind, name).is_valid(document)
    assert fast == validator(kind, name).is_valid(document)
    return fast


@st.composite
def alike(draw: Draw, schema: Mapping[str, Any], resolver: Any) -> Any:
    """What *schema* describes, or nearly."""
    while "$ref" in schema:
        found = resolver.lookup(schema["$ref"])
        beside = {name: value for name, value in schema.items() if name != "$ref"}
        schema, resolver = {**found.contents, **beside}, found.resolver
    if draw(rarely()):
        return draw(json_values())
    if "const" in schema:
        return schema["const"]
    examples = st.sampled_from(schema.get("enum", schema.get("examples", [""])))
    match schema.get("type"):
        case "object":
            return draw(objects_alike(schema, resolver))
        case "string" if draw(rarely()):
            words = examples | st.sampled_from(WORDS)
            return draw(words | texts() | st.builds(str.__add__, words, st.sampled_from(NEARLY)))
        case "integer" | "number" if draw(rarely()):
            return draw(st.sampled_from(NUMBERS) | st.integers())
        case "boolean":
            return draw(st.booleans())
        case _:
            return draw(examples)


@cache
def rarely() -> st.SearchStrategy[bool]:
    """Tell whether to leave the schema's path; most documents stay on it nearly everywhere."""
    return st.integers(0, 19).map(lambda rolled: rolled == 0)


@st.composite
def objects_alike(draw: Draw, schema: Mapping[str, Any], resolver: Any) -> Any:
    """An object with most of the fields that it must have, and some of those that it may have."""
    required = schema.get("required", ())
    made = {
        name: draw(alike(inner, resolver))
        for name, inner in schema.get("properties", {}).items()
        if not draw(rarely())
        if name in required or draw(st.booleans())
    }
    others = schema.get("additionalProperties", {"type": "string"})
    if others and "properties" not in schema:
        names = st.sampled_from(["a", "B_1", "xY"])
        if draw(rarely()):
            names |= st.sampled_from(WORDS) | texts()
        made |= draw(st.dictionaries(names, alike(others, resolver), max_size=3))
    elif draw(rarely()):
        made[draw(texts())] = draw(json_values())
    if "signal_type" in made and "metric" in schema["properties"] and not draw(rarely()):
        made.pop("metric" if made["signal_type"] == "logs" else "log", None)
    return made


@pytest.mark.parametrize(("kind", "name"), SCHEMAS)
@unhurried
@given(data=st.data())
def test_the_validators_agree(kind: Kind | None, name: str, data: st.DataObject) -> None:
    """Whatever can be parsed is valid for both validators of a schema, or for neither."""
    schema = PLUGINS[kind][name] if kind else REQUEST
    document = data.draw(alike(schema, REGISTRY.resolver(schema["$id"])))
    parsed = parse(json.dumps({"it": document}).encode())
    assume(isinstance(parsed, Success))
    same_verdict(kind, name, parsed.unwrap()["it"])


@st.composite
def bodies(draw: Draw) -> Any:
    """A body whose encoder and sink are nearly what their own schemas describe."""
    events = st.sampled_from([LOG, METRIC]).map(dict)
    body = draw(events | events | alike(REQUEST, REGISTRY.resolver(REQUEST["$id"])))
    for kind, schemas in PLUGINS.items():
        built_in = [schema for schema in schemas.values() if "x-extra" not in schema]
        schema = draw(st.sampled_from(built_in))
        if isinstance(body, dict) and not draw(rarely()):
            body[kind] = draw(alike(schema, REGISTRY.resolver(schema["$id"])))
    return body


@unhurried
@given(bodies())
def test_what_is_recalled_is_what_would_be_found(body: Any) -> None:
    """The fast way gives the encoder and sink that the slow way gives, and nothing where it objects."""
    parsed = parse(json.dumps(body).encode())
    assume(isinstance(parsed, Success))
    recalled, examined = _recall(parsed.unwrap()), _examine(parsed.unwrap())
    assert recalled == examined.value_or(None)


RETRY: Final = {"max_attempts": 2, "initial_backoff": "1s", "max_backoff": "2s"}
HTTP: Final = {"type": "http_push", "url": "http://h"}


@pytest.mark.parametrize(
    ("document", "valid"),
    [
        (changed(LOG, labels={"a": ""}), True),
        (changed(LOG, labels={"a\n": ""}), False),  # `$` lets a last line feed through
        (changed(LOG, labels={"a٣": ""}), False),  # `\d` may mean any script's digits
        (changed(LOG, labels={"é": ""}), False),
        (changed(METRIC, metric__name="a\n"), False),
        (changed(METRIC, labels={"__name__": ""}), False),
        (changed(METRIC, metric__value=10**308), True),
        (changed(METRIC, metric__value=True), False),
        (changed(LOG, timestamp="1970-01-01T00:00:00Z"), True),
        (changed(LOG, timestamp="1970-01-01T00:00:60Z"), False),  # `format` is no comment
    ],
)
def test_the_validators_agree_on_bodies(document: Any, valid: bool) -> None:
    """What validators are known to read differently is read in one way."""
    assert same_verdict(None, "", document) == valid


@pytest.mark.parametrize(
    ("sink", "valid"),
    [
        ({"type": "tcp", "address": "h:1", "timeout": "1s"}, True),
        ({"type": "tcp", "address": "h:1", "timeout": "1s\n"}, False),
        ({"type": "tcp", "address": "h:1", "timeout": "٣s"}, False),
        ({"type": "tcp", "address": "h:0"}, False),
        ({"type": "tcp", "address": "h:1", "retry": RETRY}, True),
        ({"type": "tcp", "address": "h:1", "retry": RETRY | {"max_attempts": 2.0}}, True),
        ({"type": "tcp", "address": "h:1", "retry": RETRY | {"max_attempts": 1e30}}, True),
        ({"type": "tcp", "address": "h:1", "retry": RETRY | {"max_attempts": 10**40}}, True),
        ({"type": "tcp", "address": "h:1", "retry": RETRY | {"max_attempts": 2.5}}, False),
        ({"type": "tcp", "address": "h:1", "retry": RETRY | {"max_attempts": True}}, False),
        ({"type": "tcp", "address": "h:1", "retry": RETRY | {"max_backoff": "500ms"}}, False),
        (HTTP | {"headers": {"X": "y"}}, True),
        (HTTP | {"headers": {"hOST": "y"}}, False),
        (HTTP | {"headers": {"X": "y\n"}}, False),
        (HTTP | {"tls": {}}, False),
        (HTTP | {"batch_size": 1.0}, True),
    ],
)
def test_the_validators_agree_on_sinks(sink: dict[str, Any], valid: bool) -> None:
    """Our own keywords and formats count for both validators."""
    assert same_verdict("sink", sink["type"], sink) == valid


@pytest.mark.parametrize(
    ("options", "valid"),
    [
        ({"type": "prometheus_text", "precision": 17.0}, True),
        ({"type": "prometheus_text", "precision": 18}, False),
        ({"type": "influx_lp", "field_key": "😀"}, True),
        ({"type": "influx_lp", "field_key": ""}, False),
        ({"type": "influx_lp", "field_key": "time"}, False),
        ({"type": "syslog", "app_name": "a" * 48}, True),
        ({"type": "syslog", "app_name": "a" * 49}, False),
        ({"type": "syslog", "app_name": "a\n"}, False),
    ],
)
def test_the_validators_agree_on_encoders(options: dict[str, Any], valid: bool) -> None:
    """Lengths are counted in characters, and bounds are included."""
    assert same_verdict("encoder", options["type"], options) == valid


@pytest.mark.parametrize("depth", [100, 300, 960, 970, 980, 990, 1000])
@pytest.mark.parametrize("field", ["encoder", "sink", "labels"])
def test_deep_nesting_is_refused(depth: int, field: str) -> None:
    """What parsing just takes is a flaw like any other, however deep it goes."""
    nested = b"[" * depth + b"]" * depth
    written = json.dumps(changed(LOG, **{f"{field}__x": "HERE"})).encode()
    outcome = parse(written.replace(b'"HERE"', nested)).bind(
        lambda document: validate(document, received_ns=0)
    )
    assert not isinstance(outcome, Success)
