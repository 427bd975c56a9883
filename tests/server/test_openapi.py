"""The OpenAPI document is sound, and says of a body and of an answer what the server says."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, get_args

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st
from openapi_spec_validator import validate as validate_openapi
from returns.result import Failure, Success

from sonda.about import version
from sonda.envelope import CODES
from sonda.http_answers import http_headers
from sonda.pipeline.problems import Malformed, Problem
from sonda.pipeline.schemas.registry import PLUGINS, REQUEST
from sonda.pipeline.schemas.validators import REGISTRY
from sonda.pipeline.stages.parse import parse
from sonda.pipeline.stages.validate import validate
from sonda.rejections import Rejection
from sonda.resources.idempotency import parse_key
from sonda.server.app import assemble
from sonda.server.docs.examples import EVENTS, NAMED, refusals, situations
from sonda.server.settings import Settings
from sonda.statuses import http_status
from tests.property.strategies import unhurried
from tests.property.test_schemas import alike
from tests.server.test_http import JSON, Pipe, ask
from tests.support.bodies import LOG, METRIC, MISSING, changed, raw
from tests.support.extras import UNUSABLE, is_usable
from tests.support.openapi import BODY, DOCUMENT, POST, allows
from tests.support.serving import serving
from tests.test_cases import CASES, body_of, can_run


def test_the_document_is_openapi() -> None:
    """An independent validator finds nothing wrong, in any of its schemas either."""
    validate_openapi(DOCUMENT)
    assert DOCUMENT["openapi"] == "3.1.0"
    assert DOCUMENT["info"]["version"] == version()


def test_the_document_costs_nothing_until_it_is_asked_for() -> None:
    """A server starts without the modules that make it."""
    check = "import sys, sonda.server; sys.exit('sonda.server.docs.openapi' in sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True)


def test_the_document_is_whole() -> None:
    """No reference leads out of it, and of our own keywords only those for readers are left."""
    written = json.dumps(DOCUMENT["components"]["schemas"])
    assert "common.json" not in written
    assert "$defs" not in written
    keywords = {word for word in written.split('"') if word.startswith("x-") and word != "x-tenant"}
    assert keywords == {"x-signals", "x-encoders", "x-extra", "x-reserved"}


@pytest.mark.parametrize("kind", ["encoder", "sink"])
def test_every_plugin_can_be_chosen(kind: Any) -> None:
    """Each encoder and sink is offered by its `type`, with all of its options."""
    offered: dict[str, str] = {}
    for event in ("LogEvent", "MetricEvent"):
        choice = DOCUMENT["components"]["schemas"][event]["properties"][kind]
        assert [one["$ref"] for one in choice["oneOf"]] == [
            *choice["discriminator"]["mapping"].values()
        ]
        offered |= choice["discriminator"]["mapping"]
    assert offered.keys() == PLUGINS[kind].keys()
    for name, ref in offered.items():
        described = DOCUMENT["components"]["schemas"][ref.rpartition("/")[2]]
        assert described["properties"].keys() == PLUGINS[kind][name]["properties"].keys()


@pytest.mark.parametrize("name", EVENTS)
def test_request_examples_are_valid(name: str) -> None:
    """The document allows each example, and so does the server where the extra is installed."""
    event = EVENTS[name]["value"]
    assert allows(BODY["schema"], event)
    if all(is_usable(kind, event[kind]["type"]) for kind in PLUGINS):
        assert isinstance(validate(event, received_ns=1), Success)


LOKI: Final = changed(LOG, sink={"type": "loki", "url": "http://loki:3100"})
NEAR_MISSES: Final = {
    "signal": changed(LOG, signal_type="traces"),
    "both": changed(LOG, metric={"name": "m", "value": 1}),
    "neither": changed(METRIC, metric=MISSING),
    "no labels": changed(LOG, labels=MISSING),
    "number as a label": changed(LOG, labels={"a": 1}),
    "name of a label": changed(LOG, labels={"a-b": ""}),
    "line feed in a name": changed(METRIC, metric__name="a\n"),
    "metric's own name": changed(METRIC, labels={"__name__": "m"}),
    "severity": changed(LOG, log__severity="INFO"),
    "unknown field": changed(LOG, log__filds={}),
    "time": changed(LOG, timestamp="yesterday"),
    "encoder": changed(LOG, encoder={"type": "json"}),
    "encoder of metrics": changed(LOG, encoder={"type": "influx_lp"}),
    "precision": changed(METRIC, encoder={"type": "json_lines", "precision": 18}),
    "no url": changed(LOKI, sink__url=MISSING),
    "no URL": changed(LOKI, sink__url="loki:3100"),
    "duration": changed(LOKI, sink__timeout="10"),
    "half a retry": changed(LOKI, sink__retry={"initial_backoff": "1s"}),
    "another sink's option": changed(LOKI, sink__address="h:1"),
    "both ways": changed(LOG, destination="a"),
    "neither way": changed(LOG, sink=MISSING),
    "a destination and its encoder": changed(LOG, sink=MISSING, destination="a"),
    "where to ask a destination": {
        **changed(LOG, encoder=MISSING, sink=MISSING, destination="a"),
        "verify": {"url": "http://loki:3100"},
    },
    "logs to a sink of metrics": changed(
        LOG, sink={"type": "remote_write", "url": "http://prometheus:9090/api/v1/write"}
    ),
}


@pytest.mark.parametrize("name", NEAR_MISSES)
def test_near_misses_are_not_valid(name: str) -> None:
    """What is nearly an event is none for the document, and none for the server."""
    body = NEAR_MISSES[name]
    assert not allows(BODY["schema"], body)
    assert isinstance(validate(body, received_ns=1), Failure)


BEYOND: Final = {
    "tls without https": changed(LOKI, sink__tls={}),
    "no fit": changed(METRIC, encoder={"type": "remote_write"}),
    "another signal": changed(
        LOG,
        encoder={"type": "otlp"},
        sink={"type": "otlp_grpc", "endpoint": "http://c:4317", "signal_type": "metrics"},
    ),
}


@pytest.mark.parametrize("name", BEYOND)
def test_what_only_a_condition_could_say_is_refused_by_the_server(name: str) -> None:
    """Generators of clients cannot read conditions: the document allows it, and the server does not."""
    assert allows(BODY["schema"], BEYOND[name])
    if name != "another signal" or "otlp" not in UNUSABLE:
        assert isinstance(validate(BEYOND[name], received_ns=1), Failure)


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every object in the document."""
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from nodes(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from nodes(inner)


def test_every_reference_is_a_component_and_nothing_depends_on_a_condition() -> None:
    """What generators of clients stumble over is not there."""
    referring = [node for node in nodes(DOCUMENT) if "$ref" in node]
    assert len(referring) > 100
    for node in referring:
        assert node.keys() == {"$ref"}
        _, components, section, name = node["$ref"].split("/")
        assert components == "components"
        assert name in DOCUMENT["components"][section]
    for node in nodes(DOCUMENT["components"]["schemas"]):
        assert not node.keys() & {"allOf", "if", "then", "else"}


@pytest.mark.parametrize("document", [NAMED["value"], EVENTS["loki"]["value"]])
def test_a_destination_is_named_or_described(document: dict[str, Any]) -> None:
    """Both ways are events; `verify` may stand in each."""
    assert allows(BODY["schema"], {**document, "verify": {"timeout": "5s"}})


def test_a_scenario_of_the_examples_is_valid_and_a_misspelt_one_is_not() -> None:
    """Several entries, or one at the top level; an unknown key is an error at every level."""
    content = DOCUMENT["paths"]["/scenarios"]["post"]["requestBody"]["content"]
    schema = content["application/json"]["schema"]
    several = content["application/json"]["examples"]["demo"]["value"]
    single = yaml.safe_load(content["application/yaml"]["examples"]["wave"]["value"])
    for document in (several, single):
        assert allows(schema, document)
        assert not allows(schema, {**document, "rat": 1})
    entry = {**several["scenarios"][0], "generator": {"type": "sine", "amplitud": 1}}
    assert not allows(schema, {**several, "scenarios": [entry]})


def test_the_header_of_a_key_is_described() -> None:
    """The pattern takes what the server takes, bare or quoted."""
    described = next(one for one in POST["parameters"] if one["name"] == "Idempotency-Key")
    for key in ("k", "a b", '"k"', '"a \\" b"', "k" * 255):
        assert allows(described["schema"], key)
        assert parse_key(key) is not None
    for key in ("", '"', "é", '"a', "k" * 256):
        assert not allows(described["schema"], key)
        assert parse_key(key) is None


@pytest.mark.parametrize("case", [case for case in CASES if can_run(case)], ids=lambda c: c["name"])
def test_the_document_rejects_nothing_that_is_sent(case: dict[str, Any]) -> None:
    """A case that the server delivers is valid; one of a wrong structure is not."""
    parsed = parse(body_of(case))
    if not isinstance(parsed, Success):
        return
    body = parsed.unwrap()
    validated = validate(body, received_ns=1)
    if isinstance(validated, Success):
        assert allows(BODY["schema"], body)
    elif isinstance(validated.failure(), Malformed):
        assert not allows(BODY["schema"], body)


@unhurried
@given(data=st.data())
def test_what_the_server_takes_the_document_allows(data: st.DataObject) -> None:
    """Whatever validation lets through is valid for the document, too."""
    body = data.draw(alike(REQUEST, REGISTRY.resolver(REQUEST["$id"])))
    assume(isinstance(body, dict))
    for kind in PLUGINS:
        name = data.draw(st.sampled_from([n for n in PLUGINS[kind] if is_usable(kind, n)]))
        schema = PLUGINS[kind][name]
        body[kind] = data.draw(alike(schema, REGISTRY.resolver(schema["$id"])))
    parsed = parse(raw(body)) if "\\ud" not in json.dumps(body) else Failure(None)
    assume(isinstance(parsed, Success))
    valid = isinstance(validate(parsed.unwrap(), received_ns=1), Success)
    assert not valid or allows(BODY["schema"], parsed.unwrap())


# --- answers -------------------------------------------------------------------------------------


def test_every_problem_has_an_example() -> None:
    """Whatever can go wrong is shown under its status, and each status shows something."""
    shown = {type(problem) for _, problem in situations()}
    assert shown == {*get_args(Problem), *get_args(Rejection)}
    assert all(refusals(http_status).values())


def test_every_status_is_described() -> None:
    """The envelope's statuses are all there, and sending an event has those that it can have."""
    responses = DOCUMENT["components"]["responses"]
    assert list(responses) == list(CODES.values())
    elsewhere = {404, 405}  # another path, another method
    assert {int(status) for status in POST["responses"]} == {200, 207, *CODES} - elsewhere


@pytest.mark.parametrize("code", CODES.values())
def test_answer_examples_are_valid(code: str) -> None:
    """Each example is what its own schema allows: the envelope, with the status's code."""
    content = DOCUMENT["components"]["responses"][code]["content"]["application/json"]
    for example in content["examples"].values():
        assert allows(content["schema"], example["value"])
        assert not allows(content["schema"], {**example["value"], "error": "other"})


def test_documented_headers_are_sent() -> None:
    """A header stands in the document exactly where every such answer has it."""
    for name, problem in situations():
        code = CODES[http_status(problem)]
        documented = DOCUMENT["components"]["responses"][code].get("headers", {})
        assert documented.keys() == http_headers(problem).keys(), name


def example(code: str, name: str) -> Any:
    """What the document shows."""
    content = DOCUMENT["components"]["responses"][code]["content"]["application/json"]
    return content["examples"][name]["value"]


def test_the_examples_of_a_request_are_real() -> None:
    """What the checks before the body answer is what the document shows."""
    app = assemble(Settings(api_key="key"), Pipe())
    key = (b"authorization", b"Bearer key")
    asked = {
        ("unauthorized", "no_key"): ask(app),
        ("unauthorized", "wrong_key"): ask(app, headers=[JSON, (b"authorization", b"Bearer no")]),
        ("unsupported_media_type", "not_announced_as_json"): ask(app, headers=[key]),
        ("not_found", "no_such_path"): ask(app, "POST", "/event"),
        ("method_not_allowed", "get_events"): ask(app, "GET", "/events"),
        ("bad_request", "unknown_parameter"): ask(app, query=b"dryrun=1", headers=[JSON, key]),
        ("payload_too_large", "long_body"): ask(
            app, "POST", "/events", b" " * (Settings().max_body_bytes + 1), headers=[JSON, key]
        ),
    }

    async def ask_all() -> list[Any]:
        return [(await request).document for request in asked.values()]

    assert asyncio.run(ask_all()) == [example(*shown) for shown in asked]


def test_the_examples_of_a_real_server_are_real(tmp_path: Path) -> None:
    """What a server answers about files and long heads is what the document shows, and it serves that."""
    event = raw(changed(LOG, sink={"type": "file", "path": "/etc/motd"}))
    head = b"POST /events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with serving(folder=tmp_path) as server:
        forbidden = server.ask(head + b"Content-Length: %d\r\n\r\n%b" % (len(event), event))
        assert forbidden.document == example("forbidden", "outside_the_file_root")
        long_head = server.ask(
            b"GET / HTTP/1.1\r\nHost: localhost\r\nA: %b\r\n\r\n" % (b"a" * 100_000)
        )
        assert long_head.document == example(CODES[431], "head_too_long")
        served = server.ask(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert served.document == DOCUMENT


def test_successes_are_as_described() -> None:
    """The examples of a 200 are valid, and a promise that is none is not."""
    content = POST["responses"]["200"]["content"]["application/json"]
    for shown in content["examples"].values():
        assert allows(content["schema"], shown["value"])
    assert content["examples"]["with_a_warning"]["value"]["warnings"]
    assert not allows(content["schema"], {"sent": False, "signal_type": "logs", "latency_ms": 1})
