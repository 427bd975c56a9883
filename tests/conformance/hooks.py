"""What Schemathesis may send: nothing that leads away from this test's own destinations.

It loads this module by its name. Every body passes `before_call` on its way out, and there whatever
the server would take for a target becomes one of the test's; files stay below the server's root by
the server's own doing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final, TypeAlias

import schemathesis
from hypothesis import strategies as st
from schemathesis.core.failures import AcceptedNegativeData
from schemathesis.openapi.checks import RejectedPositiveData

from sonda.pipeline.values.addresses import parse_address, parse_addresses, parse_http_url
from tests.support.extras import UNUSABLE
from tests.support.openapi import BODY, allows

HTTP: Final = os.environ["DESTINATION_HTTP"]
TCP: Final = os.environ["DESTINATION_TCP"]
UDP: Final = os.environ["DESTINATION_UDP"]
NOBODY: Final = "127.0.0.1:1"

OURS: Final = frozenset({HTTP.removeprefix("http://"), TCP, UDP, NOBODY})

_Addresses: TypeAlias = Callable[[str], list[str]]
_TARGETS: Final[Mapping[str, tuple[_Addresses, str]]] = {
    "url": (lambda url: [_address_of(url)], HTTP),
    "endpoint": (lambda url: [_address_of(url)], f"http://{NOBODY}"),
    "address": (lambda address: [str(parse_address(address))], TCP),
    "brokers": (lambda listed: list(map(str, parse_addresses(listed))), NOBODY),
}


def _address_of(url: str) -> str:
    parsed = parse_http_url(url)
    return f"{parsed.host}:{parsed.port}"


@schemathesis.hook
def before_load_schema(_context: Any, raw_schema: dict[str, Any]) -> None:
    """Leave out the plug-ins that cannot be used here, as every test does."""
    schemas = raw_schema["components"]["schemas"]
    scenarios = raw_schema["paths"]["/scenarios"]["post"]["requestBody"]["content"]
    for alias in ("application/x-yaml", "text/yaml"):  # the same once more
        del scenarios[alias]
    for shape in ("LogEvent", "MetricEvent", "ScenarioEntry", "ScenarioDefaults", "SingleScenario"):
        for kind in ("encoder", "sink"):
            choice = schemas[shape]["properties"][kind]
            mapping = choice["discriminator"]["mapping"]
            for name in [name for name in mapping if name in UNUSABLE]:
                choice["oneOf"].remove({"$ref": mapping.pop(name)})
    examples = raw_schema["paths"]["/events"]["post"]["requestBody"]["content"]["application/json"][
        "examples"
    ]
    for name in list(examples):
        event = examples[name]["value"]
        if {event[kind]["type"] for kind in ("encoder", "sink") if kind in event} & {*UNUSABLE}:
            del examples[name]


# What the document cannot say, but the server does: 422 for an event that is valid there.
_BEYOND_SCHEMAS: Final = (
    "must be at least initial_backoff",
    "expected https://, since tls is given",
    "does not fit",
    "does not take what encoder",
    "is set by the sink itself",  # `x-reserved`
    "there is no destination",
    "cannot be read back",  # `verify`
    "has no query API",
    "verify.url must say where to ask",
    # and what only an encoder sees:
    "which line protocol cannot carry here",
    "ends in a backslash, which would escape",
    '"time" is the timestamp in line protocol',
    "is no name for structured data",
    "octet_counting",  # a syslog message with a line feed in it
)


@schemathesis.hook
def filter_failure(_context: Any, failure: Any, case: Any, response: Any) -> bool:
    """Take a refusal of a valid event for right only where the flaw is beyond a schema.

    Schemathesis does not know our formats, and so takes some events for valid that are not.
    """
    is_text = case.media_type == "application/x-ndjson"  # the schema says no more of it
    if isinstance(failure, AcceptedNegativeData):  # a line that is no event has its own answer
        return not (is_text and response.status_code == HTTPStatus.MULTI_STATUS)
    if not isinstance(failure, RejectedPositiveData):
        return True
    if case.path.startswith("/scenarios"):
        return response.status_code not in _OF_SCENARIOS
    if is_text and response.status_code in (HTTPStatus.BAD_REQUEST, HTTPStatus.MULTI_STATUS):
        return False
    if response.status_code != HTTPStatus.UNPROCESSABLE_ENTITY:
        return True
    if "was used with another body" in response.json()["detail"]:
        return False
    is_beyond = any(text in response.json()["detail"] for text in _BEYOND_SCHEMAS)
    return allows(BODY["schema"], case.body) and not is_beyond


# Nothing has such an id; a document in YAML is only a text; names, values and limits are judged late.
_OF_SCENARIOS: Final = (201, 400, 403, 404, 409, 422, 429)


@schemathesis.serializer("application/x-ndjson")
def as_it_is(_context: Any, value: Any) -> bytes:
    """Send a text as it is."""
    return value.encode() if isinstance(value, str) else str(value).encode()


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: Any) -> None:
    """Turn every target that the server would connect to into one of the test's."""
    case.body = _body(case.body)
    if case.path == "/scenarios" and case.method.upper() == "POST":
        query = case.query or {}
        if query.get("dry_run", False) in (True, False, "", "0", "1", "true", "false"):
            case.query = {**query, "dry_run": "true"}  # a run would outlive its request


def _body(value: Any) -> Any:
    match value:
        case list():
            return [_body(item) for item in value]
        case {"sink": dict() as sink}:
            confined = {field: _confined(field, inner) for field, inner in sink.items()}
            if confined.get("type") == "udp" and confined.get("address") == TCP:
                confined["address"] = UDP
            return {**value, "sink": confined, **_verify(value)}
        case dict():
            return {name: _body(inner) for name, inner in value.items()}
        case _:
            return value


def _verify(event: dict[str, Any]) -> dict[str, Any]:
    match event:
        case {"verify": {"url": url, **rest}}:
            return {"verify": {**rest, "url": _confined("url", url)}}
        case _:
            return {}


def _confined(field: Any, value: Any) -> Any:
    if field not in _TARGETS or not isinstance(value, str):
        return value
    addresses_of, ours = _TARGETS[field]
    try:
        return value if OURS.issuperset(addresses_of(value)) else ours
    except ValueError:
        return value  # no target: the server refuses it, and that is what is tested


def _text(alphabet: str, least: int = 0) -> st.SearchStrategy[str]:
    return st.text(alphabet, min_size=least, max_size=12)


_LETTERS: Final = "abcXYZ019-_"
_PATHS: Final = st.sampled_from(["", "/", "/s/200", "/s/400", "/s/429", "/s/500", "/flaky/a/1"])

_TIMES: Final = st.datetimes(datetime(1970, 1, 2), datetime(2262, 4, 10), timezones=st.just(UTC))  # noqa: DTZ001

schemathesis.openapi.format("date-time", _TIMES.map(datetime.isoformat))
schemathesis.openapi.format("http-url", _PATHS.map(HTTP.__add__))
schemathesis.openapi.format("host-port", st.sampled_from([TCP, UDP, NOBODY]))
schemathesis.openapi.format("brokers", st.just(NOBODY))
schemathesis.openapi.format("host-name", st.sampled_from(["localhost", "a.example"]))
schemathesis.openapi.format("header-name", _text(_LETTERS, 1).map("X-".__add__))
schemathesis.openapi.format("header-value", _text(f"{_LETTERS}é😀"))
schemathesis.openapi.format("metadata-name", _text(_LETTERS.lower(), 1).map("x-".__add__))
schemathesis.openapi.format("metadata-value", _text(_LETTERS))
