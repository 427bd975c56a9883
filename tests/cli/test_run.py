"""`sonda run`: what options change, what is shown, and the exit status."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from sonda.cli.commands import sonda
from tests.support.extras import needs

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))
SMALL = """
scenario_name: small
defaults: {rate: 200, count: 4, labels: {env: test}}
scenarios:
- {signal_type: metrics, name: cpu, generator: {type: step, step_size: 1}}
- {signal_type: logs, name: app, log_generator: {type: template, templates: ["line {tick}"]}}
"""


def _sonda(*args: str, text: str = SMALL, **env: str) -> Result:
    return CliRunner().invoke(sonda, ["run", "-", *args], input=text, env=env)


def _plan(*args: str, text: str = SMALL, **env: str) -> list[dict[str, Any]]:
    result = _sonda("--dry-run", "--json", *args, text=text, **env)
    assert result.exit_code == 0, result.output
    entries: list[dict[str, Any]] = json.loads(result.stdout)["scenarios"]
    return entries


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: str(path.stem))
def test_examples_have_a_plan(example: Path) -> None:
    """Each example compiles, and its first events have bytes."""
    result = CliRunner().invoke(sonda, ["run", str(example), "--dry-run", "--json"])
    assert result.exit_code == 0, result.output
    for entry in json.loads(result.stdout)["scenarios"]:
        assert all(entry["events"])
        assert entry["preview"]["bytes"] > 0


def test_a_dry_run_shows_the_plan() -> None:
    """The plan, the first events as bytes and the preview, for programs and for people."""
    cpu, app = _plan("--start-time", "2026-01-01T00:00:00Z")
    assert (cpu["id"], cpu["planned"], cpu["ends_at_s"], cpu["series"]) == ("cpu", 4, 0.015, 1)
    assert cpu["events"][1] == 'cpu{env="test"} 1 1767225600005\n'
    assert json.loads(app["events"][0])["message"] == "line 0"
    assert cpu["preview"]["sink"] == "stdout"
    shown = _sonda("--dry-run").stdout
    assert "cpu: 4 events until 0.015 s, 1 series" in shown
    assert '"message":"line 3"' in shown


def test_overrides_hold_for_every_entry() -> None:
    """Options win over entries and defaults; variables of the environment do not."""
    options = [
        "--rate",
        "0.5",
        "--count",
        "3",
        "--label",
        "a=b",
        "--start-time",
        "1970-01-01T00:00:00Z",
    ]
    cpu, app = _plan(*options, SONDA_RATE="7", SONDA_COUNT="9", SONDA_SEED="3")
    assert [cpu["planned"], app["planned"]] == [3, 3]
    assert cpu["ends_at_s"] == 4
    assert cpu["events"][2] == 'cpu{a="b",env="test"} 2 4000\n'
    assert json.loads(app["events"][0])["labels"] == {"a": "b", "env": "test"}


def test_the_seed_replays_the_scenario() -> None:
    """Another seed draws other values, the same seed the same ones."""
    drawn = "{signal_type: metrics, name: u, rate: 1, generator: {type: uniform, min: 0, max: 1}}"
    at = ("--start-time", "1970-01-01T00:00:00Z")
    first = _plan("--seed", "1", *at, text=drawn)
    assert first == _plan("--seed", "1", *at, text=drawn)
    assert first != _plan("--seed", "2", *at, text=drawn)


def test_to_replaces_the_sinks() -> None:
    """`--to` sends every entry there, with an encoder that fits."""
    cpu, app = _plan("--to", "loki=http://loki:3100", "--set", "sink.timeout=2s")
    assert cpu["preview"]["target"] == "http://loki:3100"
    assert (cpu["preview"]["encoder"], app["preview"]["encoder"]) == (
        "prometheus_text",
        "json_lines",
    )


@needs("sink", "remote_write")
def test_an_encoder_that_does_not_fit_gives_way() -> None:
    """The target decides where the entry's own encoder cannot go there."""
    one = "{signal_type: metrics, name: u, rate: 1, encoder: {type: influx_lp}, generator: {type: constant, value: 1}}"
    assert _plan(text=one)[0]["preview"]["encoder"] == "influx_lp"
    to = _plan("--to", "remote_write=http://p:9090/api/v1/write", text=one)
    assert to[0]["preview"]["encoder"] == "remote_write"


def test_variables_stand_in_files() -> None:
    """`${NAME}` comes from the environment, a missing one is named with its place."""
    text = SMALL.replace("count: 4", "count: '${COUNT}'")
    assert [entry["planned"] for entry in _plan(text=text, COUNT="2")] == [2, 2]
    failed = _sonda("--dry-run", text=text)
    assert failed.exit_code == 2
    assert "defaults.count: the environment has no COUNT" in failed.stderr


@pytest.mark.parametrize(
    ("text", "args", "says"),
    [
        (
            SMALL.replace("rate: 200", "rate: fast, duration: 10"),
            [],
            "stdin:3:24: invalid: defaults.duration: expected a string, got a number (write its unit, ",
        ),
        (
            "scenario: []",
            [],
            "stdin:1:1: invalid: unknown field 'scenario' (did you mean 'scenarios'?)",
        ),
        ("", [], "stdin: invalid: the document is empty"),
        ("scenarios: []", [], "stdin:1:1: invalid: scenarios: expected at least one entry"),
        ("a: [", [], "not valid YAML"),
        (SMALL, ["--rate", "fast"], "'fast' is not a number"),
        (SMALL, ["--rate", "0"], "scenarios[0].rate: invalid value 0"),
        (SMALL, ["--duration", "soon"], "expected a duration"),
        (SMALL, ["--drain", "6m"], "at most 5m"),
        (SMALL, ["--to", "nowhere"], "there is no destination 'nowhere'"),
        (SMALL, ["--dry-run", "--failed", "x"], "--failed goes without --dry-run"),
        (
            SMALL.replace("rate: 200", "destination: lost, rate: 1"),
            [],
            "Error: destination: there is no destination 'lost'",
        ),
    ],
)
def test_mistakes(text: str, args: list[str], says: str, tmp_path: Path) -> None:
    """A mistake is status 2, and nothing is sent."""
    result = _sonda(*args, text=text)
    assert result.exit_code == 2
    assert says in result.stderr
    assert result.stdout == ""


def test_a_run_ends_with_its_ledger(tmp_path: Path) -> None:
    """Events are delivered, and the ledger stands on standard error, or as JSON on standard output."""
    out = tmp_path / "out.txt"
    result = _sonda("--to", f"file={out}")
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    assert "small: completed after" in result.stderr
    assert "planned 8, due 8, delivered 8" in result.stderr
    assert len(out.read_text().splitlines()) == 8
    ledger = json.loads(_sonda("--to", f"file={out}", "--json").stdout)["ledger"]
    assert (ledger["due"], ledger["delivered"], ledger["in_flight"]) == (8, 8, 0)


def test_a_full_disk_rejects_at_once() -> None:
    """The operating system's no is the verdict on each event: nothing is waited for."""
    result = _sonda("--json", "--to", "file=/dev/full")
    ledger = json.loads(result.stdout)["ledger"]
    assert (result.exit_code, ledger["rejected"], ledger["due"]) == (1, 8, 8)


def test_what_was_not_delivered_can_be_sent_again(tmp_path: Path) -> None:
    """`--failed` has the events as `sonda emit` takes them; status 1 says that some were rejected."""
    failed, out = tmp_path / "failed.jsonl", tmp_path / "out.txt"
    args = ["--to", "tcp=127.0.0.1:1", "--on-sink-error", "fail", "--failed", str(failed)]
    result = _sonda(*args)
    assert result.exit_code == 1
    assert "Connection refused" in result.stderr
    events = [json.loads(line) for line in failed.read_text().splitlines()]
    assert events
    assert {event["sink"]["type"] for event in events} == {"tcp"}
    again = CliRunner().invoke(sonda, ["emit", str(failed), "--to", f"file={out}"])
    assert again.exit_code == 0, again.output
    assert len(out.read_text().splitlines()) == len(events)


@pytest.mark.parametrize("kind", ["generator", "log_generator"])
def test_schemas_of_generators(kind: str) -> None:
    """`sonda schema` prints each generator's schema, references and all."""
    name = {"generator": "steady", "log_generator": "template"}[kind]
    result = CliRunner().invoke(sonda, ["schema", kind, name])
    document = json.loads(result.stdout)
    assert document["properties"]["type"] == {"const": name}
    assert "common.json" not in result.stdout


def test_the_schema_of_a_scenario_is_one_document() -> None:
    """An editor can use it: every reference leads into the document itself, and examples pass."""
    import yaml
    from jsonschema import Draft202012Validator

    document = json.loads(CliRunner().invoke(sonda, ["schema", "scenario"]).stdout)
    assert "common.json" not in json.dumps(document)
    assert "request.json" not in json.dumps(document)
    for example in EXAMPLES:
        written = yaml.safe_load(example.read_text())
        whole = written if "scenarios" in written else {"scenarios": [written]}
        if "${" not in example.read_text():
            Draft202012Validator(document).validate(whole)
