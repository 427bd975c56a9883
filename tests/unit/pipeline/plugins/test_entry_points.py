"""Plug-ins of other packages: found by their entry points, and judged as the built-in ones are."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from returns.result import Failure

from sonda.pipeline.plugins import entry_points, lookup
from sonda.pipeline.problems import Invalid, Malformed, ValidationIssue
from sonda.pipeline.schemas.registry import PLUGINS
from sonda.pipeline.stages.encode import encode
from sonda.pipeline.stages.preflight import preflight
from sonda.pipeline.stages.validate import validate
from tests.support.bodies import LOG, METRIC, changed

ENTRY_POINTS = """
[sonda.encoders]
shout = pigeon_post:shout
json_lines = pigeon_post:shout

[sonda.sinks]
pigeon = pigeon_post:pigeon
crash = pigeon_post:missing
raises = pigeon_post_that_raises:sink
untyped = pigeon_post:untyped
"""
MODULE = '''
"""A package that knows Sonda only by its public modules."""

from dataclasses import dataclass
from types import SimpleNamespace

from returns.result import Success

from sonda.pipeline.encoders import Encoder
from sonda.pipeline.model import Ack, Confirmed
from sonda.pipeline.sinks import Sink


@dataclass(frozen=True, slots=True, kw_only=True)
class Shout:
    ending: str = "!"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pigeon:
    url: str
    ring: int = 1


def encode(event, options):
    return Success((event.message.upper() + options.ending + "\\n").encode())


async def push(payload, options, transport, deadline):
    async def landed():
        return Success(Ack(Confirmed.ACCEPTED))

    return Success(landed)


def schema(name, **facts):
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": name,
        "description": "Of another package.",
        "type": "object",
        "required": ["type"],
        "additionalProperties": False,
        **facts,
    }


shout = SimpleNamespace(
    SCHEMA=schema(
        "shout",
        **{"x-signals": ["logs"], "x-payload": "text"},
        properties={"type": {"const": "shout"}, "ending": {"type": "string", "minLength": 1}},
    ),
    ENCODER=Encoder(Shout, "text/plain", encode),
)
pigeon = SimpleNamespace(
    SCHEMA=schema(
        "pigeon",
        **{"x-payloads": ["text"], "x-target": "url"},
        properties={
            "type": {"const": "pigeon"},
            "url": {"$ref": "https://sonda.invalid/schemas/common.json#/$defs/url"},
            "ring": {"type": "integer", "minimum": 1},
        },
    ),
    SINK=Sink(Pigeon, push, None),
)
untyped = SimpleNamespace(SCHEMA=schema("untyped", properties={}), SINK=pigeon.SINK)
'''
PIGEON: dict[str, Any] = {"type": "pigeon", "url": "http://Localhost:1", "ring": 2.0}


@pytest.fixture(autouse=True)
def second_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Install a package that has plug-ins for Sonda."""
    (tmp_path / "pigeon_post.py").write_text(dedent(MODULE), encoding="utf-8")
    (tmp_path / "pigeon_post_that_raises.py").write_text("1 / 0\n", encoding="utf-8")
    about = tmp_path / "pigeon_post-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: pigeon-post\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(ENTRY_POINTS, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    forget()
    yield
    forget()


def forget() -> None:
    entry_points.names.cache_clear()
    entry_points.find.cache_clear()
    lookup.fast_options.cache_clear()
    lookup.explaining_options.cache_clear()


def body(**changes: Any) -> dict[str, Any]:
    return changed(LOG, encoder={"type": "shout"}, sink=PIGEON, **changes)


def test_an_installed_encoder_and_sink_are_used() -> None:
    """Their options are read, their advisories given, their bytes made, their target named."""
    validated = validate(body(), received_ns=1).unwrap()
    assert validated.sink.options.ring == 2
    assert validated.sink.target == "http://Localhost:1"
    assert validated.sink.destination == "localhost:1"
    (warning,) = preflight(validated, in_server=True).unwrap().warnings
    assert "sink `pigeon` targets `http://Localhost:1`" in warning
    assert encode(validated).unwrap().payload.body == b"DEPLOY STARTED!\n"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"sink": PIGEON | {"ring": 0}}, Invalid((ValidationIssue("sink.ring", "invalid value 0: must be at least 1"),))),
        ({"sink": PIGEON | {"rings": 1}}, Malformed((ValidationIssue("sink", "unknown field 'rings' (did you mean 'ring'?)"),))),
        ({"encoder": {"type": "shout", "ending": ""}}, Invalid((ValidationIssue("encoder.ending", 'invalid value "": must not be empty'),))),
    ],
)  # fmt: skip
def test_their_schemas_are_held_to(changes: dict[str, Any], problem: Any) -> None:
    """What a schema of another package refuses is refused in the same words."""
    assert validate({**body(), **changes}, received_ns=1) == Failure(problem)


def test_they_fit_as_their_facts_say() -> None:
    """Signals and payloads are checked as those of built-in plug-ins are."""
    problem = validate(changed(METRIC, encoder={"type": "shout"}), received_ns=1).failure()
    assert "'shout' cannot encode metrics" in str(problem)
    otlp = {"type": "otlp_http", "endpoint": "http://h"}
    problem = validate(body() | {"sink": otlp}, received_ns=1).failure()
    assert "shout" in str(problem) or "feature" in str(problem)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("crash", "AttributeError: module 'pigeon_post' has no attribute 'missing'"),
        ("raises", "ZeroDivisionError: division by zero"),
        ("untyped", "ValueError: its schema's type must be {'const': 'untyped'}"),
    ],
)
def test_a_broken_plugin_fails_its_own_type_alone(name: str, reason: str) -> None:
    """An event that asks for it is told why; all others go on."""
    problem = validate(body() | {"sink": {"type": name}}, received_ns=1).failure()
    issue = ValidationIssue("sink.type", f"the plug-in '{name}' cannot be used: {reason}")
    assert problem == Invalid((issue,))
    assert validate(body(), received_ns=1).unwrap().sink.name == "pigeon"


def test_a_built_in_name_wins(caplog: pytest.LogCaptureFixture) -> None:
    """Another package cannot take a built-in plug-in's place; the log says so."""
    with caplog.at_level(logging.WARNING):
        problem = validate(body() | {"encoder": {"type": "jsonlines"}}, received_ns=1).failure()
    assert "the encoder 'json_lines' of pigeon_post:shout is left out" in caplog.text
    assert "'shout'" in str(problem)  # is one of those to choose from
    assert lookup.facts_of("encoder", "json_lines") is PLUGINS["encoder"]["json_lines"]


def test_entry_points_are_read_for_an_unknown_type_alone() -> None:
    """An event of built-in types does not pay for looking through the installation."""
    assert validate(LOG, received_ns=1).unwrap().encoder.name == "json_lines"
    assert entry_points.names.cache_info().currsize == 0
