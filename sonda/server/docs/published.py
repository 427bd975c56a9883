"""`schemas/` as the components of the OpenAPI document, for readers and for generators of clients.

Each reference names a component, and nothing stands beside it: a reference with words of its own is
written out. Conditions (`if`, `allOf`) are left out, since generators cannot read them: an event has
one component for each signal and each way to name its destination, and what is left of conditions
the server checks alone. `x-encoders` says which encoders fit a sink.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from sonda.pipeline.plugins.fit import encoders_of_signal, encoders_of_sink, sinks_of_encoder
from sonda.pipeline.schemas.registry import (
    BY_ID,
    CHANGE,
    COMMON,
    GENERATORS,
    PLUGINS,
    REQUEST,
    SCENARIO,
    GeneratorKind,
    Kind,
    Schema,
    schemas_of,
)

Json: TypeAlias = dict[str, Any]

_LITERAL: Final = ("const", "default", "enum", "examples")  # what is in them is data, not schema
_KEPT: Final = ("x-signals", "x-extra", "x-reserved")
_LEFT_OUT: Final = ("allOf", "if", "then", "else")
_FORMATS: Final = {"instant": "date-time"}  # what every tool knows, where it is nearly the same
_COMPONENTS: Final = "#/components/schemas/"
_BASE: Final = "https://sonda.invalid/schemas/"
_SIGNALS: Final = {"logs": "Log", "metrics": "Metric"}
_OF_DESTINATION: Final = ("encoder", "sink", "verify")  # what a named destination stands for


def ref(name: str, section: str = "schemas") -> Json:
    """Return a reference to a component."""
    return {"$ref": f"#/components/{section}/{name}"}


def component_schemas() -> Iterator[tuple[str, Json]]:
    """Yield the components of requests, by name: events, scenarios, and what they are made of."""
    for definitions, base in ((COMMON["$defs"], COMMON), (REQUEST["$defs"], REQUEST)):
        for name, schema in definitions.items():
            if "if" not in schema and "not" not in schema:
                yield _pascal(name), _published(schema, base)
    for kind, plugins in (*PLUGINS.items(), *GENERATORS.items()):
        for name, schema in plugins.items():
            fitting = {"x-encoders": encoders_of_sink(name)} if kind == "sink" else {}
            yield _component(kind, name), {**_published(schema, schema), **fitting}
            for inner, defined in schema.get("$defs", {}).items():
                yield _pascal(inner), _published(defined, schema)
    yield from _events()
    yield from _scenarios()


# --- events --------------------------------------------------------------------------------------


def _events() -> Iterator[tuple[str, Json]]:
    for signal, word in _SIGNALS.items():
        inline, named = _event(signal)
        yield f"{word}Event", {"title": f"{word} event", **inline}
        yield f"Named{word}Event", {"title": f"{word} event for a named destination", **named}
    verify = _without(_published(REQUEST["$defs"]["verify"], REQUEST), "url")
    yield "VerifyNamed", {**verify, "title": "Verify at a named destination"}
    yield "InlineEvent", _by_signal("An event with its encoder and sink.", "{}Event")
    yield "NamedEvent", _by_signal("An event for a named destination.", "Named{}Event")
    yield (
        "Event",
        {
            "title": REQUEST["title"],
            "description": REQUEST["description"],
            "oneOf": [ref("InlineEvent"), ref("NamedEvent")],
        },
    )


def _by_signal(description: str, component: str) -> Json:
    mapping = {signal: _COMPONENTS + component.format(word) for signal, word in _SIGNALS.items()}
    return {
        "description": description,
        "oneOf": [{"$ref": target} for target in mapping.values()],
        "discriminator": {"propertyName": "signal_type", "mapping": mapping},
    }


def _event(signal: str) -> tuple[Json, Json]:
    """Return a signal's events with encoder and sink, and with a destination's name."""
    case = next(
        case
        for case in REQUEST["allOf"]
        if case["if"].get("properties", {}).get("signal_type") == {"const": signal}
    )
    properties = dict(REQUEST["properties"])
    for name, narrower in case["then"].get("properties", {}).items():
        if narrower == {"not": {}}:
            del properties[name]
        else:
            properties[name] = {**properties[name], **_names(properties[name], narrower)}
    written: Json = _published({"properties": properties}, REQUEST)["properties"]
    words = {key: text for key, text in written["signal_type"].items() if key != "enum"}
    written["signal_type"] = {**words, "const": signal, "examples": [signal]}
    able = encoders_of_signal(signal)
    written["encoder"] = _choice("encoder", able)
    takers = {name for encoder in able for name in sinks_of_encoder(encoder)}
    written["sink"] = _choice("sink", [name for name in PLUGINS["sink"] if name in takers])
    always = (*REQUEST["required"], *case["then"]["required"])
    inline = {name: value for name, value in written.items() if name != "destination"}
    named = {name: value for name, value in written.items() if name not in _OF_DESTINATION}
    named["verify"] = ref("VerifyNamed")
    return (
        _object(inline, (*always, "encoder", "sink")),
        _object(named, (*always, "destination")),
    )


def _names(*schemas: Schema) -> Json:
    """Return `propertyNames` with the rules of each schema, where one has any."""
    rules = {
        key: value for schema in schemas for key, value in schema.get("propertyNames", {}).items()
    }
    return {"propertyNames": rules} if rules else {}


def _object(properties: Json, required: Iterable[str]) -> Json:
    needed = {*required}
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name in needed],
        "additionalProperties": False,
    }


def _without(schema: Json, name: str) -> Json:
    properties = {key: value for key, value in schema["properties"].items() if key != name}
    return {**schema, "properties": properties}


def _choice(kind: Kind | GeneratorKind, names: Iterable[str]) -> Json:
    """Offer plug-ins, told apart by their `type`."""
    envelope = (REQUEST if kind in PLUGINS else SCENARIO["$defs"]["entry"])["properties"][kind]
    mapping = {name: f"{_COMPONENTS}{_component(kind, name)}" for name in names}
    return {
        "title": envelope["title"],
        "description": envelope["description"],
        "oneOf": [{"$ref": target} for target in mapping.values()],
        "discriminator": {"propertyName": "type", "mapping": mapping},
    }


# --- scenarios -----------------------------------------------------------------------------------


def _scenarios() -> Iterator[tuple[str, Json]]:
    parts = {
        name: _with_choices(_published(SCENARIO["$defs"][name], SCENARIO))
        for name in ("defaults", "entry")
    }
    yield "ScenarioDefaults", parts["defaults"]
    yield "ScenarioEntry", parts["entry"]
    properties = {
        **_published({"properties": SCENARIO["properties"]}, SCENARIO)["properties"],
        "defaults": ref("ScenarioDefaults"),
    }
    several = {**SCENARIO["properties"]["scenarios"], "items": ref("ScenarioEntry"), "minItems": 1}
    head = {"title": SCENARIO["title"], "description": SCENARIO["description"]}
    yield "ScenarioChange", _published(CHANGE, CHANGE)
    yield "Scenario", {**head, **_object({**properties, "scenarios": several}, ["scenarios"])}
    single = {name: value for name, value in properties.items() if name != "scenarios"}
    entry = parts["entry"]
    yield (
        "SingleScenario",
        {
            "title": "Scenario of one entry",
            "description": "The keys of the only entry stand at the top level.",
            **_object({**single, **entry["properties"], **single}, entry["required"]),
        },
    )


def _with_choices(schema: Json) -> Json:
    chosen: Json = {}
    for kind in (*PLUGINS, *GENERATORS):
        if kind in schema["properties"]:
            chosen[kind] = _choice(kind, schemas_of(kind))
    return {**schema, "properties": {**schema["properties"], **chosen}}


# --- keywords ------------------------------------------------------------------------------------


def _published(schema: Schema, base: Schema) -> Json:
    """Return a schema of *base* for readers: references to components, our keywords in plain words."""
    if "$ref" in schema:
        return _referred(schema, base)
    for part in schema.get("allOf", ()):
        if "$ref" not in part and "if" not in part:
            schema = {**part, **schema}
    written = {
        key: _keyword(key, value, base)
        for key, value in schema.items()
        if key not in _LEFT_OUT and (key in _KEPT or key[0] not in "$x")
    }
    if "if" in schema and {"then", "else"} <= schema.keys():
        written["oneOf"] = [_published(schema[branch], base) for branch in ("then", "else")]
    if "x-expected" in schema and "not" not in schema:
        known = schema.get("description", "")
        expected = f"Expected: {schema['x-expected']}."
        written["description"] = f"{known} {expected}".strip()
    if schema.get("x-secret"):
        written["writeOnly"] = True
    return written


def _keyword(key: str, value: Any, base: Schema) -> Any:
    if key in _LITERAL:
        return value
    if key == "format":
        return _FORMATS.get(value, value)
    if key == "properties":
        return {name: _published(inner, base) for name, inner in value.items()}
    return _inner(value, base)


def _referred(schema: Schema, base: Schema) -> Json:
    """Return a reference to a component, or what it leads to with the words that stand beside it."""
    source, _, way = schema["$ref"].partition("#/")
    steps = way.split("/")
    target_base = BY_ID[f"{_BASE}{source.removeprefix('../')}"] if source else base
    beside = {key: value for key, value in schema.items() if key != "$ref"}
    if not beside and steps[0] == "$defs" and len(steps) == 2:  # noqa: PLR2004  # `$defs/name`
        return ref(_pascal(steps[1]))
    target: Any = target_base
    for step in steps:
        target = target[step]
    return _published({**target, **beside, **_names(target, beside)}, target_base)


def _inner(value: Any, base: Schema) -> Any:
    if isinstance(value, Mapping):
        return _published(value, base)
    if isinstance(value, list):
        return [_inner(item, base) for item in value]
    return value


def _component(kind: str, name: str) -> str:
    return f"{_pascal(name)}{_pascal(kind)}"


def _pascal(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))
