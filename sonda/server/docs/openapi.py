"""The OpenAPI document: what `schemas/` says of a request, and what the server answers.

Nothing is said twice. The request is `schemas/` with its references resolved into components, and
every example of a refusal quotes the problem that the code makes of a body, or of a situation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias

from sonda.about import version
from sonda.envelope import CODES
from sonda.pipeline.plugins.fit import encoders_of_signal, encoders_of_sink, sinks_of_encoder
from sonda.pipeline.schemas.registry import COMMON, PLUGINS, REQUEST, Kind, Schema
from sonda.server.docs.answer_schemas import PREVIEWED, PROBLEM_DETAILS, REFUSAL, SENT
from sonda.server.docs.examples import EVENTS, REASONS, StatusOf, previewed, refusals, sent
from sonda.server.docs.probe_paths import get_destinations, get_health, get_ready, json_content

Json: TypeAlias = dict[str, Any]

_LITERAL: Final = ("const", "default", "enum", "examples")  # what is in them is data, not schema
_NAMED: Final = ("properties", "$defs")  # what is in them are names, not keywords
_KEPT: Final = ("x-signals", "x-extra", "x-reserved")
_FORMATS: Final = {"instant": "date-time"}  # what every tool knows, where it is nearly the same
_COMPONENTS: Final = "#/components/schemas/"

_INTRODUCTION: Final = """\
Send one log or metric event now, and know that it landed: `POST /events` answers 200 once the
event's destination has acknowledged it, and everything else says exactly why not.

Beside the keywords of JSON Schema this document has a few of its own. On an encoder `x-signals`
names the events that it takes, on a sink `x-encoders` names the encoders that fit it. `x-extra` is
the optional dependency that either needs (`pip install 'sonda-events[kafka]'`), and `x-reserved` lists the
header names, in any case, that a sink sets itself; a final `*` stands for any rest."""


def document(status_of: StatusOf) -> Json:
    """Make the document; *status_of* gives each problem its HTTP status."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Sonda",
            "version": version(),
            "summary": "Send one log or metric event now, and know that it landed.",
            "description": _INTRODUCTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "The server that this document comes from"}],
        "paths": {
            "/events": {"post": _post_events()},
            "/destinations": {"get": get_destinations()},
            "/health": {"get": get_health()},
            "/ready": {"get": get_ready()},
        },
        "components": {
            "schemas": dict(sorted(_schemas())),
            "responses": _refused(status_of),
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "Only if the server was given a key (`--api-key`).",
                }
            },
        },
    }


# --- the paths -----------------------------------------------------------------------------------


def _post_events() -> Json:
    return {
        "operationId": "sendEvent",
        "summary": "Send one event",
        "description": "Answers once the destination has acknowledged the event, or could not.",
        "security": [{}, {"key": []}],
        "parameters": [
            _flag("dry_run", "Answer with what would be sent, byte for byte; nothing is opened."),
            _flag(
                "receipt",
                "Answer with what a program wants to know: a 200 with its `receipt`, every other "
                "answer with `outcome`, `timestamp`, `resend` and `issues`.",
            ),
        ],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": _ref("Event"), "examples": EVENTS}},
        },
        "responses": {
            "200": {
                "description": "The destination has acknowledged the event; or what a dry run shows.",
                "content": json_content(
                    {"oneOf": [_ref("Sent"), _ref("Previewed")]}, {**sent(), **previewed()}
                ),
            },
            **{str(s): _ref(CODES[s], "responses") for s in CODES if s not in (404, 405)},
        },
    }


def _flag(name: str, description: str) -> Json:
    return {
        "name": name,
        "in": "query",
        "description": f"{description} `1`, `0` and an empty value are read as true, false and true.",
        "schema": {"type": "boolean", "default": False},
    }


def _refused(status_of: StatusOf) -> Json:
    """Describe every answer that is not 200, each with the texts that it can have."""
    examples = refusals(status_of)
    return {
        code: {
            "description": REASONS[status],
            **({"headers": headers} if (headers := _HEADERS.get(status)) else {}),
            "content": {
                **json_content(
                    {**_ref("Refusal"), "properties": {"error": {"const": code}}}, examples[status]
                ),
                "application/problem+json": {
                    "schema": {**_ref("ProblemDetails"), "properties": {"error": {"const": code}}}
                },
            },
        }
        for status, code in CODES.items()
    }


_HEADERS: Final[Mapping[int, Json]] = {
    401: {"WWW-Authenticate": {"required": True, "schema": {"const": "Bearer"}}},
    405: {
        "Allow": {
            "description": "The methods that this path has.",
            "required": True,
            "schema": {"type": "string", "examples": ["POST"]},
        }
    },
    409: {
        "Retry-After": {
            "description": "Seconds to wait before the next try, where that may help.",
            "schema": {"type": "integer", "minimum": 0, "examples": [1]},
        }
    },
    503: {
        "Retry-After": {
            "description": "Seconds to wait before the next try.",
            "required": True,
            "schema": {"type": "integer", "minimum": 0, "examples": [1]},
        }
    },
}


def _ref(name: str, section: str = "schemas") -> Json:
    return {"$ref": f"#/components/{section}/{name}"}


# --- the schemas ---------------------------------------------------------------------------------


def _schemas() -> Iterator[tuple[str, Any]]:
    for definitions in (COMMON["$defs"], REQUEST["$defs"]):
        for name, schema in definitions.items():
            yield _pascal(name), _published(schema)
    for kind, plugins in PLUGINS.items():
        for name, schema in plugins.items():
            fitting = {"x-encoders": encoders_of_sink(name)} if kind == "sink" else {}
            yield _component(kind, name), {**_published(schema), **fitting}
    events = dict(_events())
    yield from events.items()
    mapping = {
        event["properties"]["signal_type"]["const"]: f"{_COMPONENTS}{name}"
        for name, event in events.items()
    }
    yield (
        "Event",
        {
            "title": REQUEST["title"],
            "description": REQUEST["description"],
            "oneOf": [_ref(name) for name in events],
            "discriminator": {"propertyName": "signal_type", "mapping": mapping},
        },
    )
    yield "Sent", SENT
    yield "Previewed", PREVIEWED
    yield "Refusal", REFUSAL
    yield "ProblemDetails", PROBLEM_DETAILS


def _events() -> Iterator[tuple[str, Json]]:
    """Make a schema of its own for each signal: what `request.json` says by `if` and `then`."""
    for case in REQUEST["allOf"]:
        if "properties" not in case["if"]:
            continue  # what a destination stands for is written below
        signal = case["if"]["properties"]["signal_type"]["const"]
        properties = dict(REQUEST["properties"])
        for name, narrower in case["then"].get("properties", {}).items():
            if narrower == {"not": {}}:
                del properties[name]
            else:
                properties[name] = {**properties[name], "allOf": [narrower]}
        written = _published({"properties": properties})["properties"]
        written["signal_type"] = {
            **{key: text for key, text in written["signal_type"].items() if key != "enum"},
            "const": signal,
            "examples": [signal],
        }
        able = encoders_of_signal(signal)
        written["encoder"] = _choice("encoder", able)
        written["sink"] = _choice("sink", PLUGINS["sink"])
        required = (*REQUEST["required"], *case["then"]["required"])
        yield (
            f"{signal.removesuffix('s').capitalize()}Event",
            {
                "title": f"{signal.removesuffix('s').capitalize()} event",
                "type": "object",
                "properties": written,
                "required": [name for name in written if name in required],
                "additionalProperties": False,
                "oneOf": [
                    {"required": ["encoder", "sink"], "properties": {"destination": False}},
                    {
                        "required": ["destination"],
                        "properties": {
                            "encoder": False,
                            "sink": False,
                            "verify": {"properties": {"url": False}},
                        },
                    },
                ],
                "allOf": [*_pairs(able), _same_signal(signal)],
            },
        )


def _choice(kind: Kind, names: Any) -> Json:
    """Offer plug-ins, told apart by their `type`."""
    envelope = REQUEST["properties"][kind]
    mapping = {name: f"{_COMPONENTS}{_component(kind, name)}" for name in names}
    return {
        "title": envelope["title"],
        "description": envelope["description"],
        "oneOf": [{"$ref": ref} for ref in mapping.values()],
        "discriminator": {"propertyName": "type", "mapping": mapping},
    }


def _pairs(encoders: list[str]) -> Iterator[Json]:
    """Yield which sinks take what an encoder makes."""
    by_payload: dict[str, list[str]] = {}
    for name in encoders:
        by_payload.setdefault(PLUGINS["encoder"][name]["x-payload"], []).append(name)
    for names in by_payload.values():
        takers = sinks_of_encoder(names[0])
        yield {"if": _types("encoder", names), "then": _types("sink", takers)}


def _types(kind: Kind, names: list[str]) -> Json:
    return {"properties": {kind: {"properties": {"type": {"enum": names}}}}}


def _same_signal(signal: str) -> Json:
    """A sink that names a signal names the event's."""
    return {"properties": {"sink": {"properties": {"signal_type": {"const": signal}}}}}


def _published(schema: Schema) -> Json:
    """Write a schema of ours for readers: references into components, our keywords in plain words."""
    written: Json = {}
    for key, value in schema.items():
        if key in _LITERAL:
            written[key] = value
        elif key in _NAMED:
            written[key] = {name: _published(inner) for name, inner in value.items()}
        elif key == "$ref":
            written[key] = _target(value)
        elif key == "format":
            written[key] = _FORMATS.get(value, value)
        elif key in _KEPT or key[0] not in "$x":
            written[key] = _inner(value)
    if "x-expected" in schema and "not" not in schema:
        known = schema.get("description", "")
        expected = f"Expected: {schema['x-expected']}."
        written["description"] = f"{known} {expected}".strip()
    if schema.get("x-secret"):
        written["writeOnly"] = True
    return written


def _inner(value: Any) -> Any:
    if isinstance(value, dict):
        return _published(value)
    if isinstance(value, list):
        return [_inner(item) for item in value]
    return value


def _target(ref: str) -> str:
    """Turn `common.json#/$defs/tls/properties/ca_cert` into a place among the components."""
    name, *way = ref.partition("#/$defs/")[2].split("/")
    return "/".join((f"{_COMPONENTS}{_pascal(name)}", *way))


def _component(kind: Kind, name: str) -> str:
    return f"{_pascal(name)}{kind.capitalize()}"


def _pascal(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))
