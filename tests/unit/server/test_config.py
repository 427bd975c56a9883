"""Destinations with a name, and keys: validated whole, and every fault with its place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sonda.config import ConfigError
from sonda.pipeline.policy.callers import Caller, caller_of
from sonda.server.config import Config, load_config
from sonda.server.settings import Settings
from tests.support.extras import needs

PROD = """
[destinations.prod]
encoder = { type = "json_lines" }
sink = { type = "loki", url = "http://loki:3100", headers = { X-Scope-OrgID = "env:TENANT" } }
labels = { env = "prod" }
verify_url = "http://query:3100"
"""


def load(folder: Path, text: str, api_key: str = "", **environ: str) -> Config:
    path = folder / "sonda.toml"
    path.write_text(text, encoding="utf-8")
    return load_config(Settings(config=path, api_key=api_key), environ)


def faults(folder: Path, text: str, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(folder, text, **environ)
    place = re.compile(rf"--config {re.escape(str(folder / 'sonda.toml'))}(:\d+:\d+)?: ")
    assert all(place.match(fault) for fault in caught.value.faults)
    return [place.sub("", fault) for fault in caught.value.faults]


def test_a_destination_is_read_with_its_secrets(tmp_path: Path) -> None:
    prod = load(tmp_path, PROD, TENANT="tenant-7").destinations["prod"]
    assert (prod.name, prod.encoder.name, prod.sink.name) == ("prod", "json_lines", "loki")
    assert prod.sink.options.headers == {"X-Scope-OrgID": "tenant-7"}
    assert prod.labels == {"env": "prod"}
    assert prod.verify_url == "http://query:3100"
    assert prod.hidden["tenant-7"] == "***"
    assert "tenant-7" not in repr(prod)


@pytest.mark.parametrize(
    ("sink", "encoder"),
    [
        ('{ type = "stdout" }', "json_lines"),
        pytest.param(
            '{ type = "remote_write", url = "http://p/api/v1/write" }',
            "remote_write",
            marks=needs("sink", "remote_write"),
        ),
        pytest.param(
            '{ type = "otlp_grpc", endpoint = "http://o:4317", signal_type = "metrics" }',
            "otlp",
            marks=needs("sink", "otlp_grpc"),
        ),
    ],
)
def test_without_an_encoder_one_that_fits_is_taken(tmp_path: Path, sink: str, encoder: str) -> None:
    config = load(tmp_path, f"[destinations.a]\nsink = {sink}\n")
    assert config.destinations["a"].encoder.name == encoder


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            '[destinations.a]\nsink = { type = "loki", url = "ftp://x" }',
            "destinations.a.sink.url: ",
        ),
        ('[destinations.a]\nsink = { type = "lok" }', "destinations.a.sink.type: unknown variant"),
        ("[destinations.a]\n", "destinations.a: expected sink = "),
        (
            '[destinations.a]\nsink = { type = "stdout" }\nverify_url = "http://q"',
            "destinations.a.verify: 'stdout' cannot be read back",
        ),
        (
            '[destinations.a]\nsink = { type = "stdout" }\nlabels = { "a-b" = "c" }',
            'destinations.a: invalid label name "a-b"',
        ),
        (
            '[destinations.a]\nsink = { type = "stdout" }\nencoder = 1',
            "destinations.a.encoder: expected a table",
        ),
        ('[destinations.a]\nsinc = 1\nsink = { type = "stdout" }', "destinations.a: unknown field"),
        (
            '[destinations.a]\nsink = { type = "stdout" }\nlabels = { day = 2026-01-01 }',
            "destinations.a.labels.day: a date, a time, inf and nan mean nothing here",
        ),
        ("[destination.a]\n", "destination: unknown, expected [destinations.NAME]"),
        ("[keys.a]\n", "keys.a.key: expected a string"),
        ('[keys.a]\nkey = ""\n', "keys.a.key: it is empty"),
        ('[keys.a]\nkey = " k"\n', "keys.a.key: must be UTF-8 without control characters"),
        ('[keys.a]\nkey = "env:NO"\n', 'keys.a.key: the variable "NO" is not set'),
        (
            '[keys.a]\nkey = "k"\ndestinations = ["x"]\n',
            'keys.a.destinations[0]: there is no destination "x"',
        ),
        ('[keys.a]\nkey = "k"\n[keys.b]\nkey = "k"\n', "keys.b: another caller has the same key"),
        ('[keys.a]\nkey = "k"\nrole = "x"\n', 'keys.a: unknown field "role"'),
    ],
)
def test_a_fault_has_its_place(tmp_path: Path, text: str, fault: str) -> None:
    (found,) = faults(tmp_path, text)
    assert found.startswith(fault), found


STAGING = '[destinations.staging]\nsink = { type = "stdout" }\n'


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("[destinations.a]\nsink = { type = loki }", "(a text needs straight quotation marks)"),
        ("[destinations.a]\nsink = {\n type = 1 }", "(a table in braces stands on one line)"),
        ("[destination.a]\n", "(did you mean 'destinations'?)"),
        ('[destinations.a]\nsikn = 1\nsink = { type = "stdout" }', "(did you mean 'sink'?)"),
        (
            STAGING + '[keys.a]\nkey = "k"\ndestinations = ["stagign"]',
            "(did you mean 'staging'?)",
        ),
    ],
)
def test_slips_have_a_remedy(tmp_path: Path, text: str, remedy: str) -> None:
    """In brackets at the end."""
    (found,) = faults(tmp_path, text)
    assert found.endswith(remedy), found


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("\n[destination.x]\n", ":2:1: destination: "),
        ("destinations = 1\n", ":1:1: destinations: "),
        ("[keys.a]\nkey = 'k'\n\n  desinations = []", ":4:3: keys.a: unknown field"),
        ("[keys.a]\nkey = 'env:NO'", ":2:1: keys.a.key: the variable"),
        ("[keys.a]\nkey = 'k'\ndestinations = [\n 'x',\n]", ":4:2: keys.a.destinations[0]: there"),
        (
            "[destinations.x]\nsink = {type = 'loki',\turl = 'x'}",
            ":2:24: destinations.x.sink.url: ",
        ),
        ("[destinations.x]\nsink.type = 'loki'", ":2:1: destinations.x.sink: missing field 'url'"),
        (
            "[destinations.'a b'.sink]\ntype = 'loko'",
            ':2:1: destinations["a b"].sink.type: unknown',
        ),
        ("a = [1,\n  2\n", ": is not valid TOML: Unclosed array (at end of document)"),
        (
            "a = 1\nb = 2 2",
            ": is not valid TOML: Expected newline or end of document after a statement (at line 2, column 7)",
        ),
    ],
)
def test_a_fault_has_line_and_column(tmp_path: Path, text: str, position: str) -> None:
    """Those of the member that is wrong; of what is missing, those of the table that lacks it."""
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    start = f"--config {tmp_path / 'sonda.toml'}{position}"
    assert [fault[: len(start)] for fault in caught.value.faults] == [start]


def test_every_fault_is_named_and_no_secret_is(tmp_path: Path) -> None:
    text = """
    [destinations.a]
    sink = { type = "loki", url = "env:URL" }
    [keys.b]
    key = "env:NO"
    """
    second, first = faults(tmp_path, text, URL="nothing://very-secret")
    assert first.startswith("destinations.a.sink.url: ")
    assert second.startswith("keys.b.key: ")
    assert "very-secret" not in first


def test_a_key_says_who_calls_and_what_they_may_use(tmp_path: Path) -> None:
    text = PROD + '[keys.ci]\nkey = "k-ci"\ndestinations = ["prod"]\n[keys.ops]\nkey = "k-ops"\n'
    config = load(tmp_path, text, api_key="k-all", TENANT="t")
    assert caller_of(config.keys, b"k-ci") == Caller("ci", frozenset({"prod"}))
    assert caller_of(config.keys, b"k-ops") == Caller("ops")
    assert caller_of(config.keys, b"k-all") == Caller()
    assert caller_of(config.keys, b"k") is None
    assert caller_of(config.keys, "k-ciů".encode()) is None
    assert "k-ci" not in repr(config)


def test_a_key_file_is_read_anew_each_time(tmp_path: Path) -> None:
    key_file = tmp_path / "key"
    key_file.write_text("first\n", encoding="utf-8")
    settings = Settings(api_key="first", api_key_file=key_file)
    assert caller_of(load_config(settings, {}).keys, b"first") == Caller()
    key_file.write_text("second\n", encoding="utf-8")
    config = load_config(settings, {})
    assert caller_of(config.keys, b"first") is None
    assert caller_of(config.keys, b"second") == Caller()
    assert config.files == (key_file,)
