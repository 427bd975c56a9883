"""Bodies along the schemas: every option of every plug-in, and what is nearly or not at all one.

The schemas are walked once; what comes of it are functions from `Choices` to JSON values. The words
that a string or a number is chosen from are sorted by the schema itself into those that it takes and
those that it does not, so a new option is on its own among what is sent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, Final, TypeAlias

from sonda.pipeline.schemas.registry import PLUGINS, REQUEST, Kind, Schema
from sonda.pipeline.schemas.validators import REGISTRY, validator
from tests.fuzz.choices import Choices
from tests.support.extras import is_usable

Make: TypeAlias = Callable[[Choices], Any]

WORDS: Final = (
    "", " ", "a", "value", "time", "__name__", "info", "warning", "INFO", "logs", "traces", "lf",
    "10s", "1ms", "500ms", "1.5m", "0s", "0.0s", "1d", "٣s", "9" * 400 + "h", "1s\n", "0.5h", "20ms",
    "h:1", "h:0", "h:65535", "h:65536", "h:٣", "[::1]:1", "[::1%lo]:9", "::1:1", "127.1:9", "h:1,h:2",
    "localhost.:514", "user@h:1", "[]:1", ":1", "h", "h:1, 127.0.0.1:2", ",", "0x7f.1:1", "h.example:1",
    "http://h", "HTTP://h:8080/x/", "https://u:p@h:1/x?y#z", "https://[::1]:4317", "http://h:0",
    "http://", "ftp://h", "http://h h", "http://\\h", "http://é", "http://xn--a", "http://u@", "h://",
    "http://[::1", "http://127.1", "http://h:99999", "https://h/\x00", "http://h/" + "a" * 2000,
    "https://localhost", "http://[::ffff:127.0.0.1]/", "http://a..b", "http://-a", "http://h:1:2",
    "Host", "hOST", "te", "grpc-x", "x-bin", "X-A", "x-api-key", "Authorization", "content-type",
    "X A", "X\r\nB", "é", "Bearer abc", "a\r\nb: c", " a", "a\t", "a\tb", "\x7f", "Cookie", ":path",
    "2026-03-23T14:59:04.84Z", "1970-01-01T00:00:00Z", "2262-04-11T23:47:16.854775807Z",
    "2262-04-11T23:47:16.854775808Z", "1969-12-31T23:59:59.999999999Z", "2026-03-23t14:59:04.1z",
    "2026-03-23T14:59:60Z", "2026-02-29T00:00:00Z", "2024-02-29T00:00:00-23:59", "2026-03-23 14:59:04Z",
    "٢026-03-23T14:59:04Z", "2026-03-23T14:59:04", "2026-03-23T24:00:00Z", "2026-03-23T14:59:04.1234567891Z",
    "0000-01-01T00:00:00Z", "9999-12-31T23:59:59+00:00", "1970-01-01T00:00:00+00:01", "2000-01-01T00:00:00+24:00",
    "events.log", "a/b/c.log", "../up.log", "/etc/passwd", "/dev/stdout", "a\x00b", "/" + "a" * 300, "a/" * 3000,
    ".", "/", "\ud800", "é/😀.log", "sonda", "a" * 48, "a" * 49, "a" * 255, "a" * 256, "a b", "..", "a" * 249,
)  # fmt: skip
NUMBERS: Final = (
    1, 2, 3, 17, 18, 0, -1, 2.0, 2.5, -0.0, 0.1, 1e21, 5e-324, 1.7976931348623157e308, 1e30, 10**30,
    10**308, 2**31, 2**53 + 1, 2**63, -(2**63) - 1, 1000,
    200, 204, 400, 599, 600,
)  # fmt: skip
TOKENS: Final = (
    b"NaN", b"Infinity", b"-Infinity", b"1e400", b"-1e400", b"9" * 400, b"1" * 5_000, b"0" * 5_000, b"01",
    b"+1", b"1.", b".5", b"-0", b"1E+2", b"1e-400", b"0.1e1", b"2.0e0", b"0x10", b"tru", b"null", b"'a'",
    b"[" * 100_000, b"[" * 2_000 + b"]" * 2_000, b"[" * 300 + b"]" * 300, b'{"a":' * 900 + b"1" + b"}" * 900,
    b'"\\ud800"', b'"\\udfff\\ud800"', b'"\\ud83d\\ude00"', b'"\xed\xa0\x80"', b'"\xff"', b'"\xc0\x80"', b'"\n"',
    b'"\\x"', b'"\\u12"', b'"\\u0000"', b'"\xf4\x90\x80\x80"', b'"', b"{}", b"[]", b'{"a":1,"a":1}', b"",
)  # fmt: skip
_MARK: Final = re.compile(rb'"@@(\d+)@@"')


@cache
def event(signal: str) -> Make:
    """Make the log or the metric of an event, with its labels and its time."""
    resolver = REGISTRY.resolver(REQUEST["$id"])
    fields = REQUEST["properties"]
    inside = {"logs": "log", "metrics": "metric"}[signal]
    named = {name: _make(fields[name], resolver) for name in ("labels", inside)}
    timestamp = _make(fields["timestamp"], resolver)

    def make(choices: Choices) -> dict[str, Any]:
        body: dict[str, Any] = {"signal_type": signal}
        body |= {name: make(choices) for name, make in named.items()}
        if choices.below(2):
            body["timestamp"] = timestamp(choices)
        return body

    return make


@cache
def plugin(kind: Kind, name: str) -> Make:
    """Make the options of one encoder or sink."""
    schema = PLUGINS[kind][name]
    return _make(schema, REGISTRY.resolver(schema["$id"]))


def _usable(kind: Kind) -> dict[str, Schema]:
    return {name: schema for name, schema in PLUGINS[kind].items() if is_usable(kind, name)}


ENCODERS: Final = _usable("encoder")
SINKS: Final = _usable("sink")


def _fitting() -> Iterator[tuple[str, str, str]]:
    for encoder, made in ENCODERS.items():
        for sink, taken in SINKS.items():
            if made["x-payload"] in taken["x-payloads"]:
                yield from ((signal, encoder, sink) for signal in made["x-signals"])


FITTING: Final = tuple(_fitting())
"""What goes together: a signal, an encoder, a sink."""


def body(choices: Choices) -> dict[str, Any]:
    """Make the body of a request: for three in four all that a schema can say is right."""
    signal, encoder, sink = choices.one_of(FITTING)
    if choices.astray(4):
        encoder, sink = choices.one_of([*ENCODERS]), choices.one_of([*SINKS])
    made = event(signal)(choices)
    made |= {"encoder": plugin("encoder", encoder)(choices), "sink": plugin("sink", sink)(choices)}
    if sink == "otlp_grpc" and not choices.astray(8) and isinstance(made["sink"], dict):
        made["sink"]["signal_type"] = signal
    return _bent(made, choices) if choices.astray(4) else made


def raw_body(choices: Choices) -> bytes:
    """Make a body as it is posted, and rarely just any bytes."""
    return choices.rest() if choices.odds(64) else written(body(choices), choices)


def written(made: Any, choices: Choices) -> bytes:
    """Write a body: some are torn, patched, or hold what no JSON value is."""
    text = json.dumps(made, ensure_ascii=choices.below(2) == 0).encode(errors="surrogatepass")
    text = _MARK.sub(lambda mark: TOKENS[int(mark[1]) % len(TOKENS)], text)
    return _torn(text, choices) if choices.astray(5) else text


def _torn(text: bytes, choices: Choices) -> bytes:
    at = choices.below(len(text) + 1)
    match choices.below(5):
        case 0:
            return text[:at]
        case 1:
            return text[:at] + choices.take(3) + text[at:]
        case 2:
            return text[:at] + text[at + 1 + choices.below(8) :]
        case 3:  # a name that perhaps stands there already
            name = json.dumps(choices.one_of(_FIELDS)).encode()
            inside = text.find(b"{", at)
            return (
                text[: inside + 1]
                + name
                + b":"
                + choices.one_of(TOKENS)
                + b","
                + text[inside + 1 :]
            )
        case _:
            return choices.one_of((b"\xef\xbb\xbf", b" \r\n\t", b"\xff\xfe", b"[", b"{}")) + text


def _bent(made: dict[str, Any], choices: Choices) -> dict[str, Any]:
    """Take a field away, give it another name, or put something else in its place."""
    place: Any = made
    while True:
        if not isinstance(place, dict) or not place:
            return made
        key = choices.one_of(list(place))
        if isinstance(place[key], dict) and choices.below(3):
            place = place[key]
            continue
        break
    match choices.below(4):
        case 0:
            place.pop(key)
        case 1:
            place[key + choices.one_of((" ", "s", "\n", "é", "\x00"))] = place.pop(key)
        case 2:
            place[choices.one_of(_FIELDS)] = anything(choices)
        case _:
            place[key] = anything(choices)
    return made


def anything(choices: Choices, depth: int = 3) -> Any:
    """Make any JSON value, and what is none."""
    kind = choices.below(10 if depth else 8)
    if kind == 8:
        return [anything(choices, depth - 1) for _ in range(choices.below(4))]
    if kind == 9:
        return {
            choices.one_of(_FIELDS): anything(choices, depth - 1) for _ in range(choices.below(4))
        }
    makers: tuple[Callable[[], Any], ...] = (
        lambda: None,
        lambda: bool(choices.below(2)),
        lambda: choices.one_of(NUMBERS),
        choices.double,
        choices.text,
        lambda: choices.one_of(WORDS),
        lambda: f"@@{choices.below(len(TOKENS))}@@",  # `raw_body` puts the token there
        lambda: choices.one_of(_FIELDS),
    )
    return makers[kind]()


def _make(schema: Schema, resolver: Any) -> Make:
    """Walk a schema."""
    while "$ref" in schema:
        found = resolver.lookup(schema["$ref"])
        beside = {name: value for name, value in schema.items() if name != "$ref"}
        schema, resolver = {**found.contents, **beside}, found.resolver
    make = _typed(schema, resolver)
    return lambda choices: anything(choices) if choices.astray(24) else make(choices)


def _typed(schema: Schema, resolver: Any) -> Make:
    if "const" in schema:
        return lambda choices: schema["const"]
    match schema["type"]:
        case "object" if "properties" in schema:
            return _fields(schema, resolver)
        case "object":
            return _named(schema, resolver)
        case "boolean":
            return lambda choices: bool(choices.below(2))
        case "string":
            return _string(schema)
        case "array":
            item = _make(schema["items"], resolver)
            least = schema.get("minItems", 0)
            return lambda choices: [item(choices) for _ in range(least + choices.below(3))]
        case _:
            return _number(schema)


def _fields(schema: Schema, resolver: Any) -> Make:
    """Make an object whose fields the schema names: those it must have, and some others."""
    required = schema.get("required", ())
    makers = [
        (name, name in required, _make(inner, resolver))
        for name, inner in schema["properties"].items()
    ]
    together = schema.get("dependentRequired", {})
    lower, upper = schema.get("x-durations-ascend", ("", ""))

    def make(choices: Choices) -> dict[str, Any]:
        made = {
            name: make(choices)
            for name, needed, make in makers
            if (not choices.astray(24) if needed else choices.odds(3))
        }
        if not choices.wild:
            if lower in made:
                made[upper] = made[lower]
            for field, needs in together.items():
                if field in made and not made.keys() >= set(needs):
                    del made[field]
        return made

    return make


def _named(schema: Schema, resolver: Any) -> Make:
    """Make an object that has any fields, or any that are called right."""
    names = _string({"type": "string", **schema.get("propertyNames", {})})
    plain = "pattern" in schema.get("propertyNames", {})
    value = (
        _make(schema["additionalProperties"], resolver)
        if "additionalProperties" in schema
        else anything
    )

    def make(choices: Choices) -> dict[str, Any]:
        return {
            choices.name() if plain and not choices.astray(8) else names(choices): value(choices)
            for _ in range(choices.below(4))
        }

    return make


def _string(schema: Schema) -> Make:
    if "enum" in schema:
        return _picked(tuple(schema["enum"]), (*WORDS, "Info", "logs "))
    right, wrong = sorted_by(schema, (*schema.get("examples", ()), *WORDS))
    if not wrong:
        return lambda choices: choices.text()
    picked = _picked(right, wrong)
    if "format" in schema or "pattern" in schema:
        return picked
    return lambda choices: choices.text() if choices.astray(2) else picked(choices)


def _number(schema: Schema) -> Make:
    right, wrong = sorted_by(schema, NUMBERS)
    picked = _picked(right, wrong or NUMBERS)
    if schema["type"] == "integer":
        return picked
    return lambda choices: choices.double() if choices.below(3) else picked(choices)


def _picked(right: tuple[Any, ...], wrong: tuple[Any, ...]) -> Make:
    return lambda choices: choices.one_of(wrong if choices.astray(12) else right)


def sorted_by(schema: Schema, things: tuple[Any, ...]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Sort things into those that a schema takes, and those that it does not."""
    takes = validator().evolve(schema=schema)
    right = tuple(thing for thing in things if takes.is_valid(thing) and _can_be_sent(thing))
    wrong = tuple(thing for thing in things if not takes.is_valid(thing))
    return right, wrong


def _can_be_sent(thing: Any) -> bool:
    return not isinstance(thing, str) or thing.isascii() or "\ud800" not in thing


def _names(value: Any) -> Iterator[str]:
    """Find the names of all fields in a schema."""
    if isinstance(value, Mapping):
        yield from value.get("properties", ())
        for inner in value.values():
            yield from _names(inner)


_FIELDS: Final = (
    *sorted({*_names(REQUEST), *_names(PLUGINS["encoder"]), *_names(PLUGINS["sink"])}),
    "__proto__", "filds", "count", "a", "é", "\ud800", "",
)  # fmt: skip
