"""`sonda` as people and scripts use it: what it prints where, and the status it ends with."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Final

import pytest

from sonda import library
from sonda.about import version
from sonda.cli import options, outcomes
from sonda.cli.outcomes import Exit, exit_status
from sonda.cli.params import SEVERITIES
from sonda.envelope import CODES
from sonda.pipeline.problems import (
    DestinationBusy,
    Forbidden,
    Invalid,
    Malformed,
    NotJson,
    OutcomeUnknown,
    Problem,
    Refused,
    Unreachable,
    ValidationIssue,
)
from sonda.pipeline.schemas.registry import REQUEST
from sonda.statuses import http_status
from tests.support.bodies import LOG, METRIC, MISSING, changed
from tests.support.command_line import documents, lines, process, to_http, typed, written
from tests.support.destinations import (
    TIMESTAMP,
    HttpDestination,
    http_destination,
    tcp_destination,
)
from tests.support.serving import PATIENCE_S, serving

NO_SERVER: Final = "http://127.0.0.1:1"  # nothing listens on port 1
KEY: Final = "s3cret-key"
TOKEN: Final = "Bearer s3cr3t"


# One event by options


def test_a_log(destination: HttpDestination) -> None:
    """The options become the event, and the answer says who has it and what they said."""
    words = [
        "--severity",
        "warn",
        "--label",
        "env=prod",
        "--label",
        "a=b=c",
        "--field",
        "version=1.2.2",
    ]
    to = f"loki={destination.url}"
    result = typed("emit", "log", "Deploy started", *words, "--timestamp", TIMESTAMP, "--to", to)
    assert lines(result.output) == [f"delivered to loki {destination.url} in N ms (204)"]
    assert (result.exit_code, result.stderr) == (0, "")
    [posted] = destination.posts.items
    [stream] = json.loads(posted.body)["streams"]
    assert stream["stream"] == {"env": "prod", "a": "b=c"}
    [[time_ns, line]] = stream["values"]
    assert time_ns == "1795420800123456789"
    assert json.loads(line) == {
        "timestamp": "2026-11-23T08:00:00.123Z",
        "severity": "warn",
        "message": "Deploy started",
        "labels": {"env": "prod", "a": "b=c"},
        "fields": {"version": "1.2.2"},
    }


@pytest.mark.parametrize("value", ["-5", "-0.25e1", "1e3", "0"])
def test_a_metric(value: str) -> None:
    """A value may be negative; nobody has to think of `--`."""
    with tcp_destination() as destination:
        to = f"tcp={destination.address}"
        words = ["--encoder", "influx_lp", "--timestamp", TIMESTAMP]
        result = typed("emit", "metric", "deploys", value, "--label", "job=ci", "--to", to, *words)
        assert (result.exit_code, result.stderr) == (0, "")
        assert lines(result.stdout) == [
            f"delivered to tcp {destination.address} in N ms (handed off)"
        ]
        point = destination.received.wait_for_bytes(20)
    number = f"{float(value)!r}".removesuffix(".0")
    assert point.decode() == f"deploys,job=ci value={number} 1795420800123456789\n"


def test_json_is_the_receipt(home: Path) -> None:
    """With `--json` a delivered event's answer has the receipt's fields."""
    words = ["--timestamp", TIMESTAMP, "--set", "sink.fsync=true", "--json"]
    result = typed("emit", "log", "x", "--to", "file=events.log", *words)
    [answer] = documents(result.stdout)
    assert answer.pop("latency_us") >= 0
    assert answer == {
        "sent": True,
        "signal_type": "logs",
        "confirmed": "stored",
        "time_ns": 1_795_420_800_123_456_789,
        "tries": 1,
    }
    assert (home / "events.log").read_bytes().count(b"\n") == 1


def test_udp_is_only_handed_off() -> None:
    """A warning goes to standard error for a person, into the answer for a program."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        address = "{}:{}".format(*receiver.getsockname())
        spoken = typed("emit", "log", "x", "--to", f"udp={address}")
        read = typed("emit", "log", "x", "--to", f"udp={address}", "--json")
    assert lines(spoken.stdout) == [f"delivered to udp {address} in N ms (handed off)"]
    assert spoken.stderr.startswith("warning: sink `udp` has no acknowledgement")
    assert documents(read.stdout)[0]["warnings"] == [spoken.stderr.strip()[len("warning: ") :]]
    assert read.stderr == ""


def test_the_encoder_follows_the_sink(destination: HttpDestination) -> None:
    """remote_write gets the one encoder that it takes."""
    pytest.importorskip("snappy")
    result = typed("emit", "metric", "deploys", "1", "--to", f"remote_write={destination.url}")
    assert result.exit_code == 0
    [posted] = destination.posts.items
    assert posted.headers["content-type"] == "application/x-protobuf"


def test_set_reaches_every_option(destination: HttpDestination) -> None:
    """`--set` types a value as the schema does, down to a header whose name has dots."""
    settings = (
        "encoder.precision=2",
        "sink.headers.X-Scope.OrgID=a",
        "sink.timeout=2s",
        "sink.retry.max_attempts=2",
        "sink.retry.initial_backoff=1ms",
        "sink.retry.max_backoff=2ms",
        'sink.tls={"server_name":"x"}',
    )
    words = [word for setting in settings for word in ("--set", setting)]
    to = f"http_push={destination.url.replace('http:', 'https:')}"
    assert typed("emit", "metric", "m", "1", "--to", to, *words[:-2]).exit_code == 1
    to = f"http_push={destination.url}/flaky/x/1"
    result = typed("emit", "metric", "m", "1.239", "--to", to, *words[:-2])
    assert lines(result.output) == [
        f"delivered to http_push {destination.url}/flaky/x/1 in N ms (204, 2 tries)"
    ]
    assert destination.posts.items[-1].headers["x-scope.orgid"] == "a"
    assert json.loads(destination.posts.items[-1].body)["value"] == 1.24
    refused = typed("emit", "metric", "m", "1", "--to", to, *words)
    assert refused.stderr == (
        f'invalid: --to http_push=…: invalid value "{destination.url}/flaky/x/1": '
        "expected https://, since tls is given\n"
    )


def test_a_refusal(destination: HttpDestination) -> None:
    """What the destination refused is on standard error, or as JSON on standard output; status 1."""
    url = f"{destination.url}/s/400"
    detail = f"sink error: {url} answered 400 Bad Request: destination says no"
    spoken = typed("emit", "log", "x", "--to", f"http_push={url}")
    assert (spoken.exit_code, spoken.stdout) == (1, "")
    assert spoken.stderr == f"rejected: {detail}\n"
    read = typed("emit", "log", "x", "--to", f"http_push={url}", "--json")
    assert (read.exit_code, read.stderr) == (1, "")
    assert documents(read.stdout) == [{"error": "bad_gateway", "detail": detail}]


@contextmanager
def mute() -> Iterator[str]:
    """Listen, read, and hang up without a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            with contextlib.suppress(OSError):  # at the end
                while True:
                    peer, _ = listener.accept()
                    with peer:
                        peer.recv(65536)

        thread = threading.Thread(target=hang_up)
        thread.start()
        yield "http://{}:{}".format(*listener.getsockname())
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(PATIENCE_S)


def test_an_unknown_outcome() -> None:
    """Where no answer came nobody knows: status 3, and the timestamp for a second try."""
    with mute() as url:
        words = ("--timestamp", TIMESTAMP)
        result = typed("emit", "log", "x", "--to", f"http_push={url}", *words)
    assert result.exit_code == 3
    assert result.stderr.startswith(f"unknown: sink error: no acknowledgement from {url} ")
    assert TIMESTAMP in result.stderr


def test_stdout_carries_only_the_event() -> None:
    """With the stdout sink the answer goes to standard error, whichever way it is asked for."""
    for words in ([], ["--json"]):
        run = process("emit", "log", "x", "--to", "stdout", "--timestamp", TIMESTAMP, *words)
        assert run.returncode == 0
        assert documents(run.stdout) == [
            {
                "timestamp": "2026-11-23T08:00:00.123Z",
                "severity": "info",
                "message": "x",
                "labels": {},
                "fields": {},
            }
        ]
        assert "delivered to stdout" in run.stderr or json.loads(run.stderr)["sent"] is True


@pytest.mark.parametrize("shell", ["exec {} >&-", "exec {} | true", "exec {} >&- 2>&-"])
@pytest.mark.parametrize("json_flag", ["", "--json"])
def test_a_standard_output_that_is_not_there(shell: str, json_flag: str) -> None:
    """Closed or hung up, the status is the event's; the stdout sink does not claim what it cannot do."""
    with tcp_destination() as destination:
        words = f"{sys.executable} -m sonda emit log x {json_flag} --to "
        for to, status in ((f"tcp={destination.address}", 0), ("stdout", 1)):
            script = f"set -o pipefail; {shell.format(words + to)}"
            run = subprocess.run(
                ["bash", "-c", script],
                stderr=subprocess.DEVNULL,
                timeout=PATIENCE_S,
                check=False,
            )
            if "&-" in shell or status == 0:  # `true` may read an event, or be gone by then
                assert run.returncode == status
        assert len(destination.received.wait_for()) == 1


def test_a_locale_that_lacks_characters(home: Path) -> None:
    """What a terminal cannot show is escaped; the event has it as it is."""
    environ = {
        **os.environ,
        "PYTHONIOENCODING": "ascii",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    run = process("emit", "log", "é", "--to", "file=é.log", env=environ)
    assert (run.returncode, run.stderr) == (0, "")
    assert lines(run.stdout) == ["delivered to file \\xe9.log in N ms (accepted)"]
    assert documents((home / "é.log").read_text(encoding="utf-8"))[0]["message"] == "é"


def test_an_answer_that_nobody_reads() -> None:
    """That the answer cannot be printed changes nothing: the event was delivered."""
    with Path("/dev/full").open("w") as full, tcp_destination() as destination:
        command = [sys.executable, "-m", "sonda", "emit", "log", "x"]
        run = subprocess.run(
            [*command, "--to", f"tcp={destination.address}"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
    assert (run.returncode, run.stderr) == (0, "cannot print the answer: No space left on device\n")


MISTAKES: Final = [
    (["--to", "lokki=http://x"], "'--to': there is no sink 'lokki'; sinks: file, http_push, "),
    (["--to", "loki"], "'--to': sink 'loki' needs a target, as in loki=http://loki:3100"),
    (["--to", "loki="], "'--to': sink 'loki' needs a target, as in loki=http://loki:3100"),
    (["--to", "stdout=x"], "'--to': sink 'stdout' takes no target"),
    (
        ["--to", "kafka=h:1"],
        "'--to': sink 'kafka' needs brokers and topic, as in kafka=kafka:9092/",
    ),
    (["--to", "staging"], "'--to': there is no destination 'staging'; known destinations: none"),
    (["--to", "stdout", "--label", "x"], "'--label': 'x': expected NAME=VALUE"),
    (["--to", "stdout", "--label", "a=1", "--label", "a=2"], "'--label': 'a' is given twice"),
    (["--to", "stdout", "--severity", "INFO"], "'--severity': 'INFO' is not one of 'trace', "),
    (["--to", "stdout", "--encoder", "sysl"], "'--encoder': unknown variant 'sysl', expected one"),
    (["--to", "stdout", "--set", "x=1"], "'--set': 'x': expected encoder.OPTION=VALUE or sink"),
    (["--to", "stdout", "--set", "sink.x"], "'--set': 'sink.x': expected encoder.OPTION=VALUE"),
    (
        ["--to", "tcp=h:1", "--set", "sink.timeot=1s"],
        "'--set': sink.timeot: there is no option 'timeot'; options: address, framing, tls, ",
    ),
    (
        ["--to", "tcp=h:1", "--set", "sink.type=udp"],
        "'--set': sink.type: there is no option 'type'; options: address, framing, ",
    ),
    (["--to", "tcp=h:1", "--set", "sink.tls.x=1"], "'--set': sink.tls.x: there is no option 'x'; "),
    (["--to", "tcp=h:1", "--set", "sink.timeout.x=1"], "timeout.x: 'timeout' has no options of "),
    (["--to", "tcp=h:1", "--set", "sink.tls=x"], "'--set': sink.tls: expected JSON: an object"),
    (["--to", "file=x", "--set", "sink.fsync=yes"], "'--set': sink.fsync: expected true or false"),
    (["--to", "stdout", "--set", "encoder.precision=x"], "encoder.precision: expected an integer"),
    (
        ["--to", "stdout", "--set", "encoder.precision=1", "--set", "encoder.precision=2"],
        "'--set': encoder.precision: given twice",
    ),
    (["--to", "stdout", "--server", "ftp://x"], "'--server': expected a URL that starts with http"),
    (["--to", "stdout", "--server", "http://u:pw@x"], "'--server': a key belongs into the enviro"),
    ([], "Missing option '--to'. Name a destination, as in --to loki=http://localhost:3100"),
]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["emti", "log"], "No such command 'emti' (did you mean 'emit'?)."),
        (["zzz"], "No such command 'zzz'."),
        (
            ["emit", "logs", "x"],
            "cannot read logs: No such file or directory (did you mean 'log'?)",
        ),
        (
            ["emit", "Deploy started", "--to", "stdout"],
            "No such file or directory (a message? sonda emit log MESSAGE --to …)",
        ),
        (["emit", "message", "x"], "No such file or directory (did you mean 'log'?)"),
        (["emit", "help"], "No such file or directory (try --help)"),
        (["help"], "No such command 'help' (try sonda --help)."),
        (["help", "emit"], "No such command 'help' (try sonda emit --help)."),
        (["help", "zzz"], "No such command 'help' (try sonda --help)."),
        (["version"], "No such command 'version' (try sonda --version)."),
        (
            ["emit", "log", "x", "y"],
            'extra argument (y) (quote a message of several words: "Deploy started")',
        ),
        (["emit", "log", "x", "y", "z", "--to", "stdout"], "extra arguments (y z) (quote a mes"),
        (
            ["emit", "log", "x", "env=prod"],
            "extra argument (env=prod) (a label is an option: --label env=prod)",
        ),
        (["emit", "metric", "up", "1", "env=prod"], "(a label is an option: --label env=prod)"),
        (["emit", "metric", "up", "1", "2"], "Got unexpected extra argument (2)\n"),
        (
            ["emit", "metric", "up=1"],
            "Missing argument 'VALUE'. Name and value are two arguments: up 1",
        ),
        (["emit", "metric", "up 1"], "Name and value are two arguments: up 1\n"),
        (["emit", "metric", "up = -1.5e3"], "Name and value are two arguments: up -1.5e3\n"),
        (["emit", "metric", "up", "=1"], "'=1' is not a number (name and value are two arguments"),
        (["emit", "metric", "up", "=", "1"], "'=' is not a number (name and value are two argum"),
        (["emit", "metric", "up"], "Missing argument 'VALUE'.\n"),
    ],
)
def test_a_slip_in_a_command(words: Sequence[str], message: str) -> None:
    """Status 2, and the command that was most likely meant."""
    result = typed(*words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr


@pytest.mark.parametrize(("words", "message"), MISTAKES)
def test_a_mistake_in_an_option(words: Sequence[str], message: str) -> None:
    """Status 2; the message names the option as it was typed, and nothing is sent."""
    result = typed("emit", "log", "x", *words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert "pw" not in result.stderr


def test_flaws_of_the_event_are_said_as_typed() -> None:
    """Every flaw is named by the option that made it; a program gets the API's words."""
    words = [
        "--label",
        "a-b=c",
        "--timestamp",
        "x",
        "--set",
        "encoder.precision=99",
        "--to",
        "udp=x",
    ]
    spoken = typed("emit", "log", "x", *words)
    assert (spoken.exit_code, spoken.stdout) == (2, "")
    assert spoken.stderr == (
        'invalid: invalid label name "a-b": must match [a-zA-Z_][a-zA-Z0-9_]* (try a_b); '
        '--timestamp: invalid value "x": expected RFC 3339 with an offset and at most nine decimals (for example 2026-11-23T08:00:00Z); '
        "--set encoder.precision: invalid value 99: must be from 0 to 17; "
        '--to udp=…: invalid value "x": expected host:port, with an IPv6 address in brackets\n'
    )
    [answer] = documents(typed("emit", "log", "x", *words, "--json").stdout)
    assert answer["error"] == "unprocessable_entity"
    assert "; timestamp: invalid value" in answer["detail"]
    assert "; encoder.precision: invalid value 99" in answer["detail"]


def test_encoder_and_signal_must_fit() -> None:
    """The pipeline's own verdict names the option, too."""
    result = typed("emit", "metric", "m", "1", "--encoder", "syslog", "--to", "stdout")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("invalid: --encoder: 'syslog' cannot encode metrics; these can")


@pytest.mark.parametrize("value", ["x", "nan", "-inf", "1e999"])
def test_a_value_is_a_finite_number(value: str) -> None:
    """Anything else is a mistake in VALUE."""
    result = typed("emit", "metric", "m", "--to", "stdout", "--", value)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Invalid value for 'VALUE'" in result.stderr


# Whole events


def test_whole_events_and_those_that_failed(destination: HttpDestination, home: Path) -> None:
    """The highest status wins; what failed is in a file which, fed back, sends the same events."""
    flaky = to_http(f"{destination.url}/flaky/x/1", log__message="late")
    good = to_http(destination.url)
    name = written(home / "events.jsonl", good, flaky)
    refusal = (
        f"sink error: {destination.url}/flaky/x/1 answered 503 Service Unavailable: "
        "destination says no"
    )
    first = typed("emit", name, "--failed", "failed.jsonl")
    assert first.exit_code == 1
    assert lines(first.stdout) == [
        f"events.jsonl:1: delivered to http_push {destination.url} in N ms (204)"
    ]
    assert first.stderr.splitlines() == [
        f"events.jsonl:2: rejected: {refusal}",
        "2 events: 1 delivered, 1 rejected",
        "what was not delivered is in failed.jsonl, to be sent again",
    ]
    [kept] = documents((home / "failed.jsonl").read_text())
    assert (home / "failed.jsonl").stat().st_mode & 0o777 == 0o600
    assert kept == {**flaky, "timestamp": kept["timestamp"]}
    second = typed("emit", "failed.jsonl", "--failed", "failed.jsonl")
    assert lines(second.output) == [
        f"delivered to http_push {destination.url}/flaky/x/1 in N ms (204)"
    ]
    assert (home / "failed.jsonl").read_text() == ""
    tries = [p.body for p in destination.posts.items if p.path == "/flaky/x/1"]
    assert len(tries) == 2
    assert tries[0] == tries[1]  # its timestamp included


def test_a_line_that_is_no_event_spoils_no_other(home: Path) -> None:
    """It is invalid by itself, is kept as it was, and is found by its number."""
    event = changed(LOG, sink={"type": "file", "path": "x.log"})
    text = f'{json.dumps(event)}\n\n{{"signal_type": "logs",\n[1]\n{json.dumps(event)}\n'
    (home / "events.jsonl").write_text(text)
    result = typed("emit", "events.jsonl", "--failed", "failed.jsonl", "--concurrency", "1")
    assert result.exit_code == 2
    assert (home / "x.log").read_bytes().count(b"\n") == 2
    assert [line.partition(": ")[0] for line in result.stderr.splitlines()[:2]] == [
        "events.jsonl:3:24",
        "events.jsonl:4",
    ]
    assert (home / "failed.jsonl").read_text() == ""
    assert (home / "failed.jsonl.invalid").read_text() == '{"signal_type": "logs",\n[1]\n'


def test_a_line_that_is_not_utf_8_spoils_no_other(home: Path) -> None:
    """It is invalid by itself, is found by its number, and is kept byte for byte."""
    good = json.dumps(changed(LOG, sink={"type": "file", "path": "x.log"})).encode()
    bad = good.replace(b"Deploy", b"D\xe9ploy")
    assert bad != good
    (home / "events.jsonl").write_bytes(b"\n".join([good, bad, good]))
    result = typed("emit", "events.jsonl", "--failed", "failed.jsonl")
    assert result.exit_code == 2
    assert (home / "x.log").read_bytes().count(b"\n") == 2
    assert result.stderr.startswith("events.jsonl:2: invalid: ")
    assert f"not UTF-8 at byte {bad.index(0xE9)}" in result.stderr
    assert (home / "failed.jsonl").read_bytes() == b""
    assert (home / "failed.jsonl.invalid").read_bytes() == bad + b"\n"


FILE_EVENT: Final = changed(LOG, sink={"type": "file", "path": "x.log"}, timestamp=TIMESTAMP)
YAML: Final = f"""\
# a comment
signal_type: logs
timestamp: {TIMESTAMP}
labels: &labels {{event: deploy_start, env: "prod"}}
log: {{severity: info, message: no, fields: {{answer: off, version: 1.2.2}}}}
encoder: {{type: json_lines}}
sink: {{type: file, path: x.log}}
---
- signal_type: metrics
  timestamp: {TIMESTAMP}
  labels: {{}}
  metric: {{name: m, value: 1e3}}
  encoder: {{type: json_lines, precision: 2}}
  sink: {{type: file, path: x.log}}
---
"""


@pytest.mark.parametrize(
    ("name", "text", "count"),
    [
        ("event.json", json.dumps(FILE_EVENT, indent=2), 1),
        ("events.json", json.dumps([FILE_EVENT, FILE_EVENT], indent=2), 2),
        ("none.json", "[]", 0),
        ("events.json", f"{json.dumps(FILE_EVENT, indent=1)}\n{json.dumps(FILE_EVENT)}", 2),
        ("events.ndjson", f"\ufeff{json.dumps(FILE_EVENT)}\r\n{json.dumps(FILE_EVENT)}", 2),
        ("events", f"{json.dumps(FILE_EVENT)}\n" * 3, 3),
        ("-", json.dumps(FILE_EVENT), 1),
        ("-", YAML, 2),
        ("events.yml", YAML, 2),
        ("event.yaml", json.dumps(FILE_EVENT), 1),
        ("none.yaml", "# nothing\n", 0),
        ("none.jsonl", "", 0),
    ],
)
def test_events_in_every_form(home: Path, name: str, text: str, count: int) -> None:
    """JSON, JSON Lines and YAML, one or several; a file without any is a mistake."""
    if name != "-":
        (home / name).write_text(text, encoding="utf-8")
    result = typed("emit", name, "--json", stdin=text)
    if count:
        assert result.exit_code == 0, result.output
        assert len(documents(result.stdout)) == count
        assert (home / "x.log").read_bytes().count(b"\n") == count
    else:
        assert result.exit_code == 2
        assert f"there is no event in {name}" in result.stderr


def test_yaml_is_read_as_yaml_1_2(home: Path) -> None:
    """`no` and `off` are words, a version is text, and a timestamp keeps its nanoseconds."""
    (home / "events.yaml").write_text(YAML)
    assert typed("emit", "events.yaml", "--concurrency", "1").exit_code == 0
    log, metric = documents((home / "x.log").read_text())
    assert (log["message"], log["fields"]) == ("no", {"answer": "off", "version": "1.2.2"})
    assert log["timestamp"] == "2026-11-23T08:00:00.123Z"
    assert metric["value"] == 1000.0


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("x.json", '{"a": 1,\n "b": }', "not valid JSON: Expecting value: line 2 column 7"),
        ("x.json", "[{}", "not valid JSON: Expecting ',' delimiter"),
        ("x.json", "[{}] {}", "not valid JSON: Extra data"),
        ("x.json", "[" * 100_000, "not valid JSON: it is nested too deeply"),
        ("x.json", b"\xff", "not UTF-8 at byte 0"),
        ("x.yaml", "a: 1\na: 2\n", "not valid YAML: line 2: the name 'a' stands twice in one obj"),
        ("x.yaml", "a: 1\n2: 2\n", "not valid YAML: line 2: the name 2 is no string: quote it"),
        ("x.yaml", "a: [", "not valid YAML: line "),
        ("x.yaml", "a: !!python/object:os.system x", "not valid YAML: line 1: could not determine"),
        ("x.yaml", "a: \0", "not valid YAML: "),
        (
            "x.yaml",
            "".join(
                f"a{n}: &a{n} [{', '.join([f'*a{n - 1}' if n else 'x'] * 10)}]\n" for n in range(20)
            ),
            "not valid YAML: line 1: it holds too many values",
        ),
        ("x.yaml", "a: !!float x", "not valid YAML: line 1: 'x' does not read as float"),
        ("x.yaml", f"a: {'9' * 400}", "not valid YAML: line 1: the integer is out of range"),
    ],
)
def test_a_file_that_cannot_be_read(home: Path, name: str, text: str | bytes, reason: str) -> None:
    """It is named with the reason, and no event of any file is sent."""
    (home / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    good = written(home / "good.jsonl", FILE_EVENT)
    result = typed("emit", good, name)
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"{name} is {reason}" in result.stderr
    assert not (home / "x.log").exists()


def test_a_yaml_list_that_holds_itself(home: Path) -> None:
    """What JSON cannot say is invalid, not endless."""
    (home / "x.yaml").write_text("labels: &a {b: *a}\n")
    result = typed("emit", "x.yaml")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("invalid: the body is not valid JSON: Circular")


def test_files_that_are_not_there(home: Path) -> None:
    """A missing file, and a file of failed events that cannot be written, are found before sending."""
    result = typed("emit", "nosuch.json")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "cannot read nosuch.json: No such file or directory" in result.stderr
    misplaced = typed("emit", "--json", "log", "x", "--to", "stdout")
    assert (
        "cannot read log: No such file or directory: options come after 'log'" in misplaced.stderr
    )
    name = written(home / "good.jsonl", FILE_EVENT)
    result = typed("emit", name, "--failed", "no/such/folder")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "'--failed': cannot write no/such/folder: No such file or directory" in result.stderr
    assert not (home / "x.log").exists()


def test_whole_events_to_another_destination(home: Path) -> None:
    """`--to` replaces the sink; an event's own encoder stays unless another one is asked for."""
    event = changed(FILE_EVENT, encoder={"type": "syslog"}, sink=MISSING)
    bare = changed(FILE_EVENT, encoder=MISSING, sink=MISSING)
    name = written(home / "events.jsonl", event, bare)
    assert typed("emit", name, "--to", "file=a.log", "--concurrency", "1").exit_code == 0
    first, second = (home / "a.log").read_text().splitlines()
    assert first.startswith("<14>1 2026-11-23T08:00:00.123Z")
    assert json.loads(second)["message"] == "Deploy started"
    words = ["--encoder", "json_lines", "--to", "file=b.log"]
    assert typed("emit", name, *words).exit_code == 0
    assert len(documents((home / "b.log").read_text())) == 2
    refused = typed("emit", name, "--encoder", "json_lines")
    assert refused.exit_code == 2
    assert "--encoder goes with --to" in refused.stderr


def test_one_at_a_time_keeps_the_order(home: Path) -> None:
    """With `--concurrency 1` a file's events arrive in the file's order."""
    events = [changed(FILE_EVENT, log__message=f"{number}") for number in range(30)]
    name = written(home / "events.jsonl", *events)
    result = typed("emit", name, "--concurrency", "1")
    assert (result.exit_code, result.stderr) == (0, "30 events: 30 delivered\n")
    assert [line["message"] for line in documents((home / "x.log").read_text())] == [
        f"{number}" for number in range(30)
    ]


def test_ctrl_c_ends_it_early(destination: HttpDestination, home: Path) -> None:
    """What was on its way is unknown, what had not left is rejected; both can be sent again."""
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        url = "http://{}:{}".format(*hanging.getsockname())
        events = [to_http(destination.url), to_http(url), to_http(destination.url)]
        name = written(home / "events.jsonl", *events)
        words = ["--concurrency", "1", "--json", "--failed", "failed.jsonl"]
        with subprocess.Popen(
            # A shell has a job in the background ignore Ctrl-C, and all that this starts.
            ["env", "--default-signal=INT", sys.executable, "-m", "sonda", "emit", name, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as run:
            peer, _ = hanging.accept()
            with peer:
                assert peer.recv(65536)
                run.send_signal(signal.SIGINT)
                stdout, stderr = run.communicate(timeout=PATIENCE_S)
    assert run.returncode == 3
    first, second, third = documents(stdout)
    kept = documents((home / "failed.jsonl").read_text())
    assert first["sent"] is True
    assert second["error"] == "gateway_timeout"
    assert kept[0]["timestamp"] in second["detail"]
    assert third == {"error": "service_unavailable", "detail": "interrupted before it was sent"}
    assert [event["sink"]["url"] for event in kept] == [url, destination.url]
    assert stderr.splitlines()[0] == "3 events: 1 delivered, 1 rejected, 1 unknown"


def watched(command: Sequence[str]) -> str:
    """Run a command whose standard error is a terminal, and give what that showed."""
    ours, theirs = os.openpty()
    shown = bytearray()

    def watch() -> None:
        try:
            while seen := os.read(ours, 65536):
                shown.extend(seen)
        except OSError:  # how Linux says that nobody writes any more
            pass

    watching = threading.Thread(target=watch)
    watching.start()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=theirs, timeout=60, check=True)
    os.close(theirs)
    watching.join()
    os.close(ours)
    return shown.decode()


@pytest.mark.parametrize(("count", "has_bar"), [(2, False), (30, True)])
def test_a_bar_where_somebody_is_watching(home: Path, count: int, has_bar: bool) -> None:
    """Many events and a terminal make a progress bar; few events need none."""
    name = written(home / "events.jsonl", *[FILE_EVENT] * count)
    shown = watched([sys.executable, "-m", "sonda", "emit", name])
    assert ("sending" in shown) is has_bar
    assert f"{count} events: {count} delivered" in shown


# Named destinations


CONFIG: Final = """\
[destinations.staging]
sink = { type = "http_push", url = "env:HOOK", headers = { Authorization = "env:TOKEN" } }
encoder = { type = "syslog", app_name = "deployer" }

[destinations.lines]
sink = { type = "file", path = "lines.log" }
"""


@pytest.fixture
def config(home: Path) -> Path:
    path = home / "sonda.toml"
    path.write_text(CONFIG)
    return path


def test_a_named_destination(
    config: Path, destination: HttpDestination, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is found from a folder below; secrets come from the environment and are not shown."""
    monkeypatch.setenv("HOOK", f"{destination.url}/hook")
    monkeypatch.setenv("TOKEN", TOKEN)
    below = config.parent / "below"
    below.mkdir()
    monkeypatch.chdir(below)
    result = typed("emit", "log", "x", "--to", "staging", "--set", "encoder.hostname=web-1")
    assert result.exit_code == 0
    assert lines(result.stdout) == ["delivered to http_push env:HOOK in N ms (204)"]
    assert destination.url not in result.output
    [posted] = destination.posts.items
    assert posted.headers["authorization"] == TOKEN
    assert b"web-1 deployer" in posted.body


@pytest.mark.parametrize("words", [[], ["--json"]])
@pytest.mark.parametrize(
    ("url", "token", "status"),
    [
        ("{url}/s/400", TOKEN, 1),
        ("{url}/s/400/" + "x" * 300, TOKEN, 1),
        ("no-url-at-all", TOKEN, 2),
        ("http://user:pa55word@127.0.0.1:1/", TOKEN, 1),
        ("ftp://user:pa55word@127.0.0.1/", TOKEN, 2),
        ("{url}", f"{TOKEN}\n", 2),
    ],
)
def test_a_secret_is_never_echoed(
    config: Path,
    destination: HttpDestination,
    monkeypatch: pytest.MonkeyPatch,
    url: str,
    token: str,
    status: int,
    words: list[str],
) -> None:
    """Not in an error, not in a warning, not in JSON, not in the file of failed events."""
    hook = url.format(url=destination.url)
    monkeypatch.setenv("HOOK", hook)
    monkeypatch.setenv("TOKEN", token)
    name = written(config.parent / "events.jsonl", changed(LOG, sink=MISSING))
    result = typed("emit", name, "--to", "staging", "--failed", "failed.jsonl", *words)
    assert result.exit_code == status
    assert "env:HOOK" in result.output or status == 2 or "127.0.0.1:1" in result.output
    for shown in (result.output, Path("failed.jsonl").read_text()):
        for secret in (hook, hook[:200], "s3cr3t", "pa55word"):
            assert secret not in shown
    assert "env:" not in Path("failed.jsonl").read_text()


def test_a_secret_on_the_command_line_is_by_name_too(
    destination: HttpDestination, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`env:NAME` works in `--set`, where the value itself would be in the process list."""
    monkeypatch.setenv("TOKEN", TOKEN)
    words = ["--set", "sink.headers.Authorization=env:TOKEN"]
    assert typed("emit", "log", "x", "--to", f"http_push={destination.url}", *words).exit_code == 0
    assert destination.posts.items[0].headers["authorization"] == TOKEN


def test_a_secret_in_an_event_of_a_file_is_none(
    destination: HttpDestination, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event may come from anywhere: it cannot ask for this environment."""
    monkeypatch.setenv("TOKEN", TOKEN)
    event = to_http(destination.url, sink__headers={"X-Token": "env:TOKEN"})
    assert typed("emit", written(home / "event.jsonl", event)).exit_code == 0
    assert destination.posts.items[0].headers["x-token"] == "env:TOKEN"


def test_what_the_environment_lacks(config: Path) -> None:
    """A secret that is not there is a mistake, found before anything is sent."""
    result = typed("emit", "log", "x", "--to", "staging")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "sink.url is 'env:HOOK': the variable \"HOOK\" is not set" in result.stderr


def test_the_nearest_file_wins(home: Path, config: Path, tmp_path: Path) -> None:
    """Names of the user's own file are known, too; with `--config` those of that file alone."""
    own = tmp_path / "own" / "sonda" / "sonda.toml"
    own.parent.mkdir()
    own.write_text(
        '[destinations.lines]\nsink = {type = "file", path = "far.log"}\n'
        '[destinations.own]\nsink = {type = "file", path = "own.log"}\n'
    )
    for name in ("lines", "own"):
        assert typed("emit", "log", "x", "--to", name).exit_code == 0
    assert {path.name for path in home.glob("*.log")} == {"lines.log", "own.log"}
    unknown = typed("emit", "log", "x", "--to", "nix")
    assert "no destination 'nix'; known destinations: lines, own, staging." in unknown.stderr
    elsewhere = typed("emit", "log", "x", "--to", "staging", "--config", str(own))
    assert f"no destination 'staging' in {own}; known destinations: lines, own." in elsewhere.stderr


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[destinations.x", "cannot read {path}: "),
        ("[destination.x]", "{path}: destination: expected [destinations.NAME] tables"),
        ("[destinations.x]", "{path}:1:1: destinations.x: expected a table with sink = "),
        ("[destinations]\nx = 1", "{path}:2:1: destinations.x: expected a table with sink = "),
        (
            '[destinations.x]\nsink = {type = "stdout"}\nencodr = 1',
            "{path}:3:1: destinations.x: unknown field 'encodr', expected 'sink', 'encoder', 'labels' ",
        ),
        (
            '[destinations.x]\nsink = {type = "stdout"}\nencoder = "syslog"',
            "{path}:3:1: destinations.x.encoder: expected a table such as",
        ),
    ],
)
def test_a_mistake_in_the_file(config: Path, text: str, reason: str) -> None:
    """The message says in which file, and where in it."""
    config.write_text(text)
    result = typed("emit", "log", "x", "--to", "x")
    assert (result.exit_code, result.stdout) == (2, "")
    assert reason.format(path=config) in result.stderr


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")
def test_a_file_of_somebody_else(config: Path) -> None:
    """Somebody's file in a folder above could send secrets to them; `--config` trusts it."""
    os.chown(config, 12345, -1)
    refused = typed("emit", "log", "x", "--to", "lines")
    assert refused.exit_code == 2
    assert f"{config} belongs to somebody else: --config {config} would trust it" in refused.stderr
    assert typed("emit", "log", "x", "--to", "lines", "--config", str(config)).exit_code == 0


def test_the_flaws_of_a_named_destination(config: Path) -> None:
    """What the file says is judged like any event, and is found in the file."""
    config.write_text('[destinations.x]\nsink = {type = "tcp", address = "nowhere"}\n')
    result = typed("emit", "log", "x", "--to", "x")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        f'{config}:2:23: invalid: --to x: sink.address: invalid value "nowhere": expected host:port, '
        "with an IPv6 address in brackets\n"
    )


# Through a server


def test_through_a_server(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server delivers, with its own key, and its answers become exit statuses."""
    monkeypatch.setenv("SONDA_API_KEY", KEY)
    with serving("--file-root", str(home), environ={"SONDA_API_KEY": KEY}) as server:
        words = ["--server", server.url + "/"]
        result = typed("emit", "log", "x", "--to", "file=x.log", *words)
        assert lines(result.output) == [
            f"delivered to file x.log through {server.url}/ in N ms (accepted)"
        ]
        assert (home / "x.log").read_bytes().count(b"\n") == 1
        read = typed("emit", "log", "x", "--to", "stdout", "--json", *words)
        [answer] = documents(read.stdout)  # the server's standard output has the event
        assert answer.pop("latency_ms") >= 0
        assert answer.pop("receipt")["confirmed"] == "handed_off"
        assert (answer, read.exit_code) == ({"sent": True, "signal_type": "logs"}, 0)

        refused = typed("emit", "log", "x", "--to", "tcp=127.0.0.1:1", *words)
        assert refused.exit_code == 1
        verdict, warning = refused.stderr.splitlines()
        assert verdict == "rejected: sink error: TCP connect to 127.0.0.1:1: Connection refused"
        assert warning.startswith("warning: scenario entry 'events.logs' sink `tcp` targets ")
        invalid = typed("emit", "log", "x", "--label", "a-b=", "--to", "stdout", *words)
        assert (invalid.exit_code, invalid.stdout) == (2, "")
        forbidden = typed("emit", "log", "x", "--to", "file=/etc/x", *words)
        assert forbidden.exit_code == 2
        with mute() as url:
            unknown = typed("emit", "log", "x", "--to", f"http_push={url}", *words)
        assert unknown.exit_code == 3
        name = written(home / "events.jsonl", *[FILE_EVENT] * 20)
        assert typed("emit", name, *words).stderr == "20 events: 20 delivered\n"

        monkeypatch.setenv("SONDA_API_KEY", "wrong")
        denied = typed("emit", "log", "x", "--to", "stdout", "--json", *words)
        assert denied.exit_code == 2
        [said] = documents(denied.stdout)
        assert (said["error"], said["detail"]) == ("unauthorized", "invalid API key")
        assert said["outcome"] == "not_sent"
        assert server.stop() == 0
    assert KEY not in server.log


def test_a_server_that_is_not_there() -> None:
    """Nothing has left: the event is rejected."""
    result = typed("emit", "log", "x", "--to", "stdout", "--server", NO_SERVER)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        f"rejected: cannot connect to the server {NO_SERVER}: Connection refused\n"
    )


def test_a_server_that_hangs_up() -> None:
    """The request has left: nobody knows, and the timestamp is said for a second try."""
    with mute() as url:
        words = ["--server", url, "--timestamp", TIMESTAMP, "--json"]
        result = typed("emit", "log", "x", "--to", "stdout", *words)
    assert result.exit_code == 3
    [answer] = documents(result.stdout)
    assert answer["error"] == "gateway_timeout"
    assert answer["detail"].startswith(f"no answer from the server {url}: ")
    assert TIMESTAMP in answer["detail"]


@pytest.mark.parametrize(
    ("path", "status"), [("", 3), ("/s/200", 3), ("/s/302", 2), ("/s/404", 2), ("/s/502", 3)]
)
def test_a_server_that_is_not_sonda(destination: HttpDestination, path: str, status: int) -> None:
    """No answer but Sonda's own promises anything, and no 5xx of a proxy excludes anything."""
    words = ["--server", destination.url + path]
    result = typed("emit", "log", "x", "--to", "stdout", *words)
    assert (result.exit_code, result.stdout) == (status, "")
    assert f"of {destination.url}{path} is not one of Sonda's" in result.stderr


@pytest.mark.parametrize("key", ["a\nb", " a"])
def test_a_key_that_is_no_header(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    """It is a mistake of the environment's, and is not shown."""
    monkeypatch.setenv("SONDA_API_KEY", key)
    result = typed("emit", "log", "x", "--to", "stdout", "--server", NO_SERVER)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "SONDA_API_KEY: a header value" in result.stderr


def test_the_servers_key_may_be_in_a_file(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """`SONDA_API_KEY_FILE` names it; a file that cannot be used, or both given, is a mistake."""
    (home / "key").write_text(f"{KEY}\n", encoding="utf-8")
    monkeypatch.setenv("SONDA_API_KEY_FILE", "key")
    with serving("--file-root", str(home), environ={"SONDA_API_KEY": KEY}) as server:
        words = ("emit", "log", "hello", "--to", "file=x.log", "--server", server.url)
        assert typed(*words).exit_code == 0
        monkeypatch.setenv("SONDA_API_KEY", KEY)
        both = typed(*words)
        monkeypatch.delenv("SONDA_API_KEY")
        monkeypatch.setenv("SONDA_API_KEY_FILE", "nothing")
        missing = typed(*words)
    assert (both.exit_code, missing.exit_code) == (2, 2)
    assert "give SONDA_API_KEY or SONDA_API_KEY_FILE, not both" in both.stderr
    assert 'SONDA_API_KEY_FILE: the file "nothing" cannot be read' in missing.stderr


# Everything else


def test_check_names_every_flaw(home: Path) -> None:
    """Nothing is sent, even what only the encoder can see is found, and the status is 0 or 2."""
    good = written(home / "good.jsonl", FILE_EVENT, changed(METRIC, timestamp=TIMESTAMP))
    result = typed("check", good)
    assert (result.exit_code, result.output) == (0, "good.jsonl:1: valid\ngood.jsonl:2: valid\n")
    wrong = changed(FILE_EVENT, log__severity="INFO", log__mesage="x")
    newline = changed(FILE_EVENT, encoder={"type": "syslog"}, log__message="a\nb")
    result = typed("check", written(home / "bad.jsonl", wrong, newline))
    assert (result.exit_code, result.stdout) == (2, "")
    lines = result.stderr.splitlines()
    assert len(lines) == 3
    for line, member, says in zip(
        lines[:2],
        ("severity", "mesage"),
        ("log.severity: unknown variant 'INFO'", "log: unknown field 'mesage'"),
        strict=True,
    ):
        column = (home / "bad.jsonl").read_text().index(f'"{member}"') + 1
        assert line.startswith(f"bad.jsonl:1:{column}: invalid: {says}")
    assert re.match(r"bad.jsonl:2:\d+: invalid: sink: a line feed ends an event here", lines[2])
    [valid] = documents(typed("check", "-", "--json", stdin=json.dumps(FILE_EVENT)).stdout)
    assert valid == {"valid": True}
    assert not (home / "x.log").exists()


EVENT_YAML = """\
# two of them
- signal_type: logs
  labels: {env: prod, deploy-env: x}
  log: {severity: info, message: x}
- signal_type: metrics
  labels: {}
  metric:
    name: up
    value: "1"
  sink:
    type: loki
"""
EVENT_JSON = """
{
\t"signal_type": "logs",
\t"labels": {},
\t"log": {"severity": "info", "mesage": "\\/"}
}
"""


@pytest.mark.parametrize("command", ["check", "emit"])
@pytest.mark.parametrize("stdin", [False, True])
def test_a_mistake_in_a_file_has_line_and_column(home: Path, command: str, stdin: bool) -> None:
    """A line for each, in YAML and in JSON, of one event or of several."""
    to = ("--to", "file=x.log")
    for suffix, text, places in (
        ("yaml", EVENT_YAML, ["3:23", "9:5"]),
        ("json", EVENT_JSON, ["5:2", "5:30"]),
    ):
        name = home / f"event.{suffix}"
        name.write_text(text)
        args = ("-",) if stdin else (name.name,)
        result = typed(command, *args, *to, stdin=text if stdin else "")
        shown = "stdin" if stdin else name.name
        found = [line for line in result.stderr.splitlines() if "invalid:" in line]
        assert sorted(line.partition(": ")[0] for line in found) == [
            f"{shown}:{place}" for place in places
        ]
        assert result.exit_code == 2
        answers = documents(typed(command, name.name, *to, "--json").stdout)
        where = [issue["where"] for answer in answers for issue in answer["issues"]]
        assert sorted(where) == [f"{name.name}:{place}" for place in places]
    assert not (home / "x.log").exists()


def test_what_an_option_says_is_found_in_no_file(home: Path) -> None:
    """Neither its sink, which `--to` replaces, nor what is set; a named destination is in its own."""
    (home / "event.json").write_text(json.dumps(changed(FILE_EVENT, sink={"type": "tcp"})))
    (home / "sonda.toml").write_text("[destinations.x]\nsink = {type = 'loki', url = 'z'}\n")
    says = {
        (): "event.json:1:",
        ("--to", "tcp=nowhere"): "invalid: sink.address: ",
        ("--to", "x"): f"{home / 'sonda.toml'}:2:24: invalid: sink.url: ",
        ("--to", "x", "--set", "sink.url=y"): "invalid: sink.url: ",
        ("--to", "x", "--to", "x"): f"{home / 'sonda.toml'}:2:24 to x: invalid: sink.url: ",
    }
    for args, start in says.items():
        result = typed("emit", "event.json", *args)
        assert result.exit_code == 2
        assert result.stderr.startswith(start), (args, result.stderr)


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_a_mistake_with_a_place_shows_no_secret(
    home: Path, monkeypatch: pytest.MonkeyPatch, more: list[str]
) -> None:
    """The place is the file's, and the value stays `env:NAME`."""
    monkeypatch.setenv("HOOK", "nothing://very-secret")
    (home / "sonda.toml").write_text("[destinations.x]\nsink = {type = 'loki', url = 'env:HOOK'}\n")
    result = typed("emit", "log", "hi", "--to", "x", *more)
    assert result.exit_code == 2
    assert f"{home / 'sonda.toml'}:2:24" in result.output
    assert "env:HOOK" in result.output
    assert "very-secret" not in result.output


def test_check_with_a_destination(home: Path) -> None:
    """Events without a sink can be checked for one."""
    name = written(home / "events.jsonl", changed(FILE_EVENT, sink=MISSING))
    assert typed("check", name).exit_code == 2
    assert typed("check", name, "--to", "stdout").exit_code == 0


def test_serve_is_sonda_server(tmp_path: Path) -> None:
    """Flags are passed on, --help included."""
    run = process("serve", "--help")
    assert run.returncode == 0
    assert run.stdout.startswith("Usage: sonda-server [OPTIONS]")
    own = subprocess.run(
        [sys.executable, "-m", "sonda.server", "--help"],
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_S,
    )
    assert run.stdout == own.stdout
    assert process("serve", "--port", "x").returncode == 2
    command = [sys.executable, "-m", "sonda", "serve", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as server:
        assert server.stderr is not None
        listens = re.search(r"listening on (http://\S+) ", server.stderr.readline())
        assert listens is not None
        with urllib.request.urlopen(f"{listens[1]}/health", timeout=PATIENCE_S) as answer:
            assert json.load(answer) == {"status": "ok"}
        server.terminate()
        assert server.wait(PATIENCE_S) == 0


def test_version() -> None:
    """The version is the package's, which the program says without looking it up."""
    assert version() == installed_version("sonda-events")
    assert process("--version").stdout == f"sonda {version()}\n"


@pytest.mark.parametrize("words", [(), ("emit",), ("emit", "log"), ("emit", "metric"), ("check",)])
def test_help_comes_by_itself(words: Sequence[str]) -> None:
    """Who types half a command is shown the other half; with -h it is no mistake."""
    assert typed(*words).exit_code == 2
    helped = typed(*words, "-h")
    assert helped.exit_code == 0
    assert helped.stdout.startswith(f"Usage: {' '.join(('sonda', *words))} ")


def test_a_bug_is_no_rejection(home: Path) -> None:
    """After a bug nobody knows what became of the event: not Python's 1, which says rejected."""
    script = (
        "import sonda.cli.sending as s, sonda.cli\n"
        "def send_all(*_, **__): raise ZeroDivisionError\n"
        "s.send_all = send_all\n"
        "sonda.cli.main()"
    )
    command = [sys.executable, "-c", script, "emit", "log", "x", "--to", "stdout"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert (run.returncode, run.stdout) == (3, "")
    assert run.stderr.endswith("ZeroDivisionError\n")


PROBLEMS: Final[list[Problem]] = [
    NotJson("x"),
    Malformed((ValidationIssue("", "x"),)),
    Invalid((ValidationIssue("", "x"),)),
    Forbidden("x"),
    Unreachable("x", "y"),
    Refused("x", "400"),
    DestinationBusy("x", 512),
    OutcomeUnknown("x", "within 1s", 1),
]


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: type(problem).__name__)
def test_statuses_are_those_of_the_http_api(problem: Problem) -> None:
    """One problem has one code, on the command line and over HTTP."""
    assert outcomes.failed(problem).answer["error"] == CODES[http_status(problem)]


@pytest.mark.parametrize(
    ("exit_code", "statuses"),
    [
        (Exit.DELIVERED, [200]),
        (Exit.REJECTED, [408, 502, 503]),
        (Exit.INVALID, [400, 401, 403, 404, 405, 413, 415, 422, 431]),
        (Exit.UNKNOWN, [201, 302, 418, 500, 504, 599]),
    ],
)
def test_what_a_status_says_of_the_event(exit_code: Exit, statuses: list[int]) -> None:
    """Only what is said before anything is sent, or by the destination, counts as a no."""
    assert {exit_status(status) for status in statuses} == {exit_code}


def loaded_by(*words: str) -> set[str]:
    """Run a command, and name what it has loaded by then."""
    script = "import sonda.cli, sys, atexit\natexit.register(lambda: print(*sys.modules, file=sys.stderr))"
    run = subprocess.run(
        [sys.executable, "-c", f"{script}\nsonda.cli.main()", *words],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )
    return set(run.stderr.splitlines()[-1].split())


def test_a_start_loads_little() -> None:
    """A command waits for nothing that it does not use."""
    assert not loaded_by("emit", "log", "-h") & {"asyncio", "jsonschema_rs", "returns", "yaml"}
    heavy = {
        "falcon",
        "uvicorn",
        "uvloop",
        "grpc",
        "aiokafka",
        "google.protobuf",
        "yaml",
        "tomllib",
    }
    file_only = {"httpx", "sonda.http", "sonda.server", "sonda.server.settings"}
    assert not loaded_by("emit", "log", "x", "--to", "file=x.log") & (heavy | file_only)
    with http_destination() as destination:
        assert not loaded_by("emit", "log", "x", "--to", f"loki={destination.url}") & heavy


def test_what_is_said_twice_is_the_same() -> None:
    """The command line knows them without reading the schema, and a default without the library."""
    assert options.CONCURRENCY == library.CONCURRENCY
    assert list(SEVERITIES) == REQUEST["$defs"]["log"]["properties"]["severity"]["enum"]
