"""Where an event goes: several `--to`, aliases, guesses, variables, and faults of `sonda.toml`."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sonda.cli.addressing import address
from sonda.cli.destinations import Options, destination
from tests.support.bodies import LOG, METRIC, MISSING, changed
from tests.support.command_line import documents, lines, process, to_http, typed, written
from tests.support.destinations import TIMESTAMP, HttpDestination
from tests.support.serving import PATIENCE_S


def sinks(to: str) -> dict[str, Any]:
    """Return the encoder and sink that `--to` gives to a log and to a metric event."""
    chosen = destination(to, Options())
    given = {}
    for signal in ("logs", "metrics"):
        event = address({"signal_type": signal}, chosen, Options()).event
        given[signal] = (event["encoder"]["type"], event["sink"])
    return given


# Several


def test_every_to_gets_the_event(home: Path) -> None:
    """Each has its verdict and its line, and the worst of them is the status."""
    words = ["--to", "file=a.log", "--to", "tcp=127.0.0.1:1", "--to", "file=b.log"]
    result = typed("emit", "log", "x", *words)
    assert result.exit_code == 1
    assert lines(result.stdout) == [
        "file=a.log: delivered to file a.log in N ms (accepted)",
        "file=b.log: delivered to file b.log in N ms (accepted)",
    ]
    assert result.stderr == (
        "tcp=127.0.0.1:1: rejected: sink error: TCP connect to 127.0.0.1:1: Connection refused\n"
    )
    assert (home / "a.log").read_text() == (home / "b.log").read_text() != ""


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["--to", "stdout", "--to", "udp=x"], 2),
        (["--to", "udp=x", "--to", "tcp=127.0.0.1:1"], 1),
        (["--to", "nosuch", "--to", "file=a.log"], 2),
    ],
)
def test_the_worst_decides(home: Path, words: list[str], status: int) -> None:
    """A mistake is less than a rejection, and one that is found before sending stops it all."""
    assert typed("emit", "log", "x", *words).exit_code == status
    assert not (home / "a.log").exists()


def test_what_failed_of_several_is_sent_to_that_one_alone(home: Path) -> None:
    """The line of a failed event has its own destination: the other one has the event already."""
    (home / "sonda.toml").write_text('[destinations.far]\nsink = {type = "tcp", address = "h:x"}\n')
    name = written(home / "events.jsonl", changed(LOG, sink=MISSING))
    words = ["--to", "file=a.log", "--to", "tcp=127.0.0.1:1", "--failed", "failed.jsonl"]
    result = typed("emit", name, *words)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == (
        "what was not delivered is in failed.jsonl, to be sent again, without --to"
    )
    [kept] = documents((home / "failed.jsonl").read_text())
    assert kept["sink"] == {"type": "tcp", "address": "127.0.0.1:1"}
    (home / "sonda.toml").write_text('[destinations.far]\nsink = {type = "file", path = "b.log"}\n')
    (home / "failed.jsonl").write_text(json.dumps(changed(kept, destination="far", sink=MISSING)))
    again = typed("emit", "failed.jsonl")
    assert lines(again.stdout) == ["delivered to file b.log in N ms (accepted)"]


def test_secrets_are_not_kept(home: Path) -> None:
    """A file of failed events has no secrets, and a line without them could not be sent again."""
    name = written(home / "events.jsonl", changed(LOG, sink=MISSING))
    words = ["--set", "sink.headers.X=env:HOME", "--failed", "failed.jsonl"]
    to = ["--to", "http_push=http://h/a", "--to", "http_push=http://h/b"]
    result = typed("emit", name, *to, *words)
    assert result.exit_code == 2
    assert "--failed with several --to keeps no secrets" in result.stderr


# Failed and invalid


def test_what_is_not_valid_stands_apart(home: Path) -> None:
    """An invalid event is not to be sent again for ever; a second run forgets neither."""
    wrong = changed(LOG, log__severity="INFO", timestamp=TIMESTAMP)
    late = changed(LOG, sink={"type": "tcp", "address": "127.0.0.1:1"}, timestamp=TIMESTAMP)
    name = written(home / "events.jsonl", wrong, late)
    result = typed("emit", name, "--failed", "failed.jsonl")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-2:] == [
        "what was not delivered is in failed.jsonl, to be sent again",
        "what is not valid is in failed.jsonl.invalid",
    ]
    assert documents((home / "failed.jsonl").read_text()) == [late]
    assert documents((home / "failed.jsonl.invalid").read_text()) == [wrong]
    assert typed("emit", "failed.jsonl", "--failed", "failed.jsonl").exit_code == 1
    assert documents((home / "failed.jsonl").read_text()) == [late]
    assert documents((home / "failed.jsonl.invalid").read_text()) == [wrong]
    assert (home / "failed.jsonl.invalid").stat().st_mode & 0o777 == 0o600


# Aliases and guesses


def test_aliases() -> None:
    """Each stands for a sink, and `syslog` for an encoder, too."""
    remote_write = {"type": "remote_write", "url": "http://p:9090/api/v1/write"}
    for url in ("http://p:9090", "http://p:9090/", "http://p:9090/api/v1/write"):
        assert sinks(f"prometheus={url}")["metrics"] == ("remote_write", remote_write)
    assert sinks("prometheus=http://p/x?y=1")["metrics"][1]["url"] == "http://p/x?y=1"
    assert sinks("prometheus=http://p?y=1")["metrics"][1]["url"] == "http://p/api/v1/write?y=1"
    assert sinks("syslog=h:514")["logs"] == ("syslog", {"type": "tcp", "address": "h:514"})


def test_the_encoder_of_syslog_is_fixed(home: Path) -> None:
    """An event's own encoder gives way; `--encoder` does not."""
    event = changed(LOG, encoder={"type": "json_lines"}, sink=MISSING)
    chosen = destination("syslog=h:514", Options())
    assert address(event, chosen, Options()).event["encoder"] == {"type": "syslog"}
    typed_one = destination("syslog=h:514", Options(encoder="json_lines"))
    assert address(event, typed_one, Options()).event["encoder"] == {"type": "json_lines"}


OTLP: dict[str, Any] = {"type": "otlp_http", "endpoint": "http://localhost:4318"}
GRPC: dict[str, Any] = {"type": "otlp_grpc", "endpoint": "http://localhost:4317"}


@pytest.mark.parametrize(
    ("to", "environ", "logs", "metrics"),
    [
        ("otlp", {}, OTLP, OTLP),
        ("otlp=http://c:1", {}, {**OTLP, "endpoint": "http://c:1"}, None),
        ("otlp", {"ENDPOINT": "http://c:1"}, {**OTLP, "endpoint": "http://c:1"}, None),
        (
            "otlp",
            {"ENDPOINT": "http://c:1", "LOGS_ENDPOINT": "http://l/v1/logs"},
            {**OTLP, "endpoint": "http://l/v1/logs"},
            {**OTLP, "endpoint": "http://c:1"},
        ),
        (
            "otlp",
            {"LOGS_ENDPOINT": "http://l/x"},
            {"type": "http_push", "url": "http://l/x"},
            OTLP,
        ),
        (
            "otlp",
            {"PROTOCOL": "grpc"},
            {**GRPC, "signal_type": "logs"},
            {**GRPC, "signal_type": "metrics"},
        ),
        (
            "otlp",
            {"PROTOCOL": "grpc", "METRICS_PROTOCOL": "http/protobuf", "ENDPOINT": "c:4317"},
            {**GRPC, "endpoint": "https://c:4317", "signal_type": "logs"},
            {**OTLP, "endpoint": "c:4317"},
        ),
        (
            "otlp",
            {"HEADERS": "a=1%2C,b=x=y", "TIMEOUT": "1500", "COMPRESSION": "gzip"},
            {
                **OTLP,
                "headers": {"a": "1,", "b": "x=y"},
                "timeout": "1500ms",
                "compression": "gzip",
            },
            None,
        ),
        (
            "otlp=https://c",
            {"CERTIFICATE": "ca.pem", "LOGS_CLIENT_KEY": "key.pem"},
            {
                **OTLP,
                "endpoint": "https://c",
                "tls": {"ca_cert": "ca.pem", "client_key": "key.pem"},
            },
            {**OTLP, "endpoint": "https://c", "tls": {"ca_cert": "ca.pem"}},
        ),
    ],
)
def test_otlp_reads_its_variables(
    monkeypatch: pytest.MonkeyPatch,
    to: str,
    environ: dict[str, str],
    logs: dict[str, Any],
    metrics: dict[str, Any] | None,
) -> None:
    """Those of the signal come first, and what is typed before both."""
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    for name, value in environ.items():
        monkeypatch.setenv(f"OTEL_EXPORTER_OTLP_{name}", value)
    found = sinks(to)
    assert found["logs"] == ("otlp", logs)
    assert found["metrics"] == ("otlp", metrics or logs)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("PROTOCOL", "http/json", "OTEL_EXPORTER_OTLP_PROTOCOL is 'http/json': Sonda speaks http"),
        ("TIMEOUT", "10s", "OTEL_EXPORTER_OTLP_TIMEOUT is '10s': expected milliseconds"),
        ("HEADERS", "s3cret", "OTEL_EXPORTER_OTLP_HEADERS: expected name=value pairs"),
    ],
)
def test_a_mistake_in_a_variable_of_otlp(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, reason: str
) -> None:
    """It names the variable, and quotes no header."""
    monkeypatch.setenv(f"OTEL_EXPORTER_OTLP_{name}", value)
    result = typed("emit", "log", "x", "--to", "otlp")
    assert (result.exit_code, result.stdout) == (2, "")
    assert reason in result.stderr
    assert "s3cret" not in result.stderr


@pytest.mark.parametrize(
    ("to", "meant"),
    [
        ("http://localhost:3100", "loki=http://localhost:3100"),
        ("http://localhost:9090", "prometheus=http://localhost:9090"),
        ("http://u:pa55@localhost:4318", "otlp=http://***@localhost:4318"),
        ("https://x/loki/api/v1/push", "loki=https://x/loki/api/v1/push"),
        ("https://hooks.example.com/x", "http_push=https://hooks.example.com/x"),
        ("http://[::1", ""),
        ("localhost:514", "syslog=localhost:514"),
        ("kafka:9092", "kafka=kafka:9092/TOPIC"),
        ("./x.log", "file=./x.log"),
        ("lokki=http://x", "loki=http://x"),
        ("promethius=http://x", "prometheus=http://x"),
        ("Prom=http://x", "prometheus=http://x"),
        ("http=http://x", "http_push=http://x"),
        ("LOKI=http://x", "loki=http://x"),
        ("elasticsearch=http://x", ""),
    ],
)
def test_a_guess_is_offered_in_words(to: str, meant: str) -> None:
    """What names no sink is a mistake, and is never sent to a guess."""
    result = typed("emit", "log", "x", "--to", to)
    assert (result.exit_code, result.stdout) == (2, "")
    assert (f"(did you mean --to {meant}?)" in result.stderr) == bool(meant)
    assert "pa55" not in result.stderr


# Variables of the environment


def test_every_option_is_a_variable(
    home: Path, destination: HttpDestination, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What may be repeated is separated by commas; the flag wins."""
    variables = {
        "SONDA_TO": f"http_push={destination.url}/env,file=x.log",
        "SONDA_LABEL": "env=prod, team=a",
        "SONDA_FIELD": "version=1",
        "SONDA_SEVERITY": "warn",
        "SONDA_TIMESTAMP": TIMESTAMP,
        "SONDA_SET": "encoder.precision=2",
        "SONDA_RETRY": "2",
        "SONDA_TIMEOUT": "5s",
        "SONDA_JSON": "1",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    result = typed("emit", "log", "x", "-s", "error")
    assert (result.exit_code, result.stderr) == (0, "")
    assert [document["sent"] for document in documents(result.stdout)] == [True, True]
    [line] = documents((home / "x.log").read_text())
    assert line["severity"] == "error"
    assert line["labels"] == {"env": "prod", "team": "a"}
    assert line["fields"] == {"version": "1"}
    typed("emit", "log", "x", "--to", "file=y.log", "-l", "a=b")
    [line] = documents((home / "y.log").read_text())
    assert line["labels"] == {"a": "b"}
    assert len(destination.posts.items) == 1


def test_a_mistake_in_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the variable, since nobody typed the option."""
    monkeypatch.setenv("SONDA_SEVERITY", "loud")
    result = typed("emit", "log", "x", "--to", "stdout")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Invalid value for SONDA_SEVERITY: 'loud' is not one of" in result.stderr


def test_brokers_of_kafka_are_not_several_destinations(monkeypatch: pytest.MonkeyPatch) -> None:
    """A comma in the middle of a target stays there."""
    pytest.importorskip("aiokafka")
    monkeypatch.setenv("SONDA_TO", "kafka=k1:9092,k2:9092/events,stdout")
    result = typed("emit", "log", "x", "--dry-run")
    assert result.exit_code == 0
    assert "kafka k1:9092,k2:9092/events would get" in result.stdout
    assert "stdout: not sent: stdout would get" in result.stdout


# Short options


def test_retry_timeout_and_quiet(home: Path, destination: HttpDestination) -> None:
    """The three options that everybody needs have names of their own; quiet prints no yes."""
    words = ["--retry", "3", "--timeout", "5s", "-q"]
    url = f"{destination.url}/flaky/a/2"
    result = typed("emit", "log", "x", "--to", f"http_push={url}", *words)
    assert (result.exit_code, result.output) == (0, "")
    assert len(destination.posts.items) == 3
    name = written(home / "events.jsonl", *[to_http(destination.url)] * 2)
    assert typed("emit", name, "-q").output == ""
    refused = typed("emit", "log", "x", "--to", "tcp=127.0.0.1:1", "-q")
    assert refused.stderr.startswith("rejected: sink error: TCP connect to 127.0.0.1:1")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--retry", "0"], "'--retry': 0 is not in the range x>=1"),
        (["--retry", "3", "--to", "stdout"], "'--retry': sink 'stdout' does not retry"),
        (["--timeout", "5"], "'--timeout': '5': expected a duration such as 500ms, 10s"),
        (["--timeout", "0s"], "'--timeout': '0s': must be above zero"),
        (["--verify", "soon"], "'--verify': 'soon': expected a duration such as 500ms"),
    ],
)
def test_a_mistake_in_a_short_option(words: list[str], message: str) -> None:
    """Found before anything is sent."""
    to = [] if "--to" in words else ["--to", "tcp=h:1"]
    result = typed("emit", "log", "x", *to, *words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr


def test_a_home_folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell leaves the tilde after an equals sign to us."""
    monkeypatch.setenv("HOME", str(home))
    result = typed("emit", "log", "x", "--to", "file=~/x.log")
    assert result.exit_code == 0
    assert (home / "x.log").exists()
    assert not (home / "~").exists()


# sonda.toml


def test_a_fault_concerns_only_its_destination(home: Path) -> None:
    """A table that nobody asks for stops nothing, nor does `[keys]`, which is the server's."""
    (home / "sonda.toml").write_text(
        "[destinations.bad]\nsinkk = 1\n[destinations.worse]\nsink = 1\n[keys.a]\nkey = 1\n[typo]\n"
        '[destinations.good]\nsink = {type = "file", path = "x.log"}\nlabels = {env = "prod"}\n'
    )
    assert typed("emit", "log", "x", "--to", "good", "-l", "a=b").exit_code == 0
    [line] = documents((home / "x.log").read_text())
    assert line["labels"] == {"env": "prod", "a": "b"}
    assert "destinations.bad: expected a table" in typed("emit", "log", "x", "--to", "bad").stderr
    unknown = typed("emit", "log", "x", "--to", "nix")
    assert "known destinations: bad, good, worse (" in unknown.stderr
    assert "typo: expected [destinations.NAME] tables" in unknown.stderr


def test_a_secret_in_a_file(home: Path, destination: HttpDestination) -> None:
    """`file:PATH` is taken from the folder of `sonda.toml`, less a final line feed."""
    (home / "token").write_text("s3cr3t-token\n")
    (home / "below").mkdir()
    (home / "sonda.toml").write_text(
        f'[destinations.hook]\nsink = {{type = "http_push", url = "{destination.url}/s/400", '
        'headers = {Authorization = "file:token"}}\n'
    )
    os.chdir(home / "below")
    result = typed("emit", "log", "x", "--to", "hook")
    assert result.exit_code == 1
    assert destination.posts.items[0].headers["authorization"] == "s3cr3t-token"
    assert "s3cr3t" not in result.output
    (home / "token").unlink()
    missing = typed("emit", "log", "x", "--to", "hook")
    assert missing.exit_code == 2
    assert (
        "is 'file:token': the file \"token\" cannot be read: No such file or directory"
        in missing.stderr
    )


@pytest.mark.parametrize("words", [["emit", "log", "x", "--to", "NAME"], ["--help"]])
def test_a_current_folder_that_was_deleted(tmp_path: Path, words: list[str]) -> None:
    """One clear line, and no traceback."""
    gone = tmp_path / "gone"
    script = f"mkdir {gone} && cd {gone} && rmdir {gone} && exec {sys.executable} -m sonda"
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    run = subprocess.run(
        ["bash", "-c", f"{script} {shlex.join(words)}"],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
        env=environ,
    )
    assert run.returncode == (0 if words == ["--help"] else 2)
    assert "Traceback" not in run.stderr
    if run.returncode:
        assert "there is no destination 'NAME'" in run.stderr
        assert "the current folder cannot be searched: No such file or directory" in run.stderr


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become nobody")
def test_a_folder_that_may_not_be_searched(home: Path) -> None:
    """The search goes on above it, and says what it passed over."""
    home.chmod(0o700)
    script = "import os; os.setuid(65534)\nimport sonda.cli; sonda.cli.main()"
    run = subprocess.run(
        [sys.executable, "-c", script, "emit", "log", "hi", "--to", "NAME"],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    if "No module named" in run.stderr or "Permission denied: '/" in run.stderr:
        pytest.skip("nobody may not read this checkout")
    assert run.returncode == 2
    assert "there is no destination 'NAME'" in run.stderr
    assert "cannot be searched: Permission denied" in run.stderr


def test_metrics_to_an_alias(destination: HttpDestination) -> None:
    """`prometheus=` works as it stands in every tutorial."""
    pytest.importorskip("snappy")
    result = typed("emit", "metric", "deploys", "1", "--to", f"prometheus={destination.url}")
    assert result.exit_code == 0
    assert destination.posts.items[0].path == "/api/v1/write"


def test_a_file_through_several(home: Path) -> None:
    """Each event goes to each destination, and each has its line."""
    name = written(home / "e.jsonl", changed(LOG, sink=MISSING), changed(METRIC, sink=MISSING))
    words = ["--to", "file=a.log", "--to", "file=b.log", "--encoder", "json_lines"]
    run = process("emit", name, *words)
    assert (run.returncode, run.stderr) == (0, "4 events: 4 delivered\n")
    assert [line.partition(": ")[0] for line in run.stdout.splitlines()] == [
        "e.jsonl:1 to file=a.log",
        "e.jsonl:1 to file=b.log",
        "e.jsonl:2 to file=a.log",
        "e.jsonl:2 to file=b.log",
    ]
