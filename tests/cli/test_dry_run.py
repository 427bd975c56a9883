"""`--dry-run`: what would be sent, on the terminal and as JSON, from this process or from a server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest

import sonda
from sonda.cli.through_server import judge
from tests.support.bodies import LOG, changed
from tests.support.command_line import documents, typed, written
from tests.support.destinations import TIMESTAMP, log_event
from tests.support.serving import serving

KEY: Final = "s3cret-key"

WORDS = ("--timestamp", TIMESTAMP, "--dry-run")
TO_SYSLOG = ("--to", "udp=127.0.0.1:1", "--encoder", "syslog")
SHOWN = [
    "not sent: udp 127.0.0.1:1 would get 54 bytes",
    "  encoder    syslog",
    f"  timestamp  {TIMESTAMP}",
    "  framing    one datagram, without its line feed",
    "  text       <14>1 2026-11-23T08:00:00.123Z sonda sonda - - - hello",
]
WARNING = "warning: sink `udp` has no acknowledgement: "


def test_a_dry_run_shows_the_bytes() -> None:
    """Nothing listens there, and that does not matter; warnings go to standard error."""
    result = typed("emit", "log", "hello", *TO_SYSLOG, *WORDS)
    assert result.stdout.splitlines() == SHOWN
    assert result.stderr.startswith(WARNING)
    assert result.exit_code == 0


def test_a_dry_run_as_json() -> None:
    """The answer is the one of the HTTP API."""
    result = typed("emit", "log", "hello", *TO_SYSLOG, *WORDS, "--json")
    event = log_event({"type": "udp", "address": "127.0.0.1:1"}, encoder="syslog")
    [answer] = documents(result.stdout)
    assert answer == json.loads(json.dumps(sonda.preview(event).unwrap().answer()))
    assert result.stderr == ""


def test_a_dry_run_of_stdout_prints_the_answer_there() -> None:
    """No event goes to standard output, so the answer may."""
    result = typed("emit", "metric", "deploys", "1", "--to", "stdout", *WORDS)
    assert result.stdout.startswith("not sent: stdout would get ")
    assert result.stderr == ""


def test_a_dry_run_of_files(home: Path) -> None:
    """Each event stands by itself; what is not valid is named as ever, and gives the status."""
    good = changed(LOG, sink={"type": "file", "path": "x.log"})
    name = written(home / "events.jsonl", good, changed(LOG, labels={"a-b": "c"}))
    result = typed("emit", name, "--dry-run")
    assert result.stdout.splitlines()[0].startswith("events.jsonl:1: not sent: file x.log would")
    assert result.stderr.startswith('events.jsonl:2:36: invalid: invalid label name "a-b"')
    assert result.exit_code == 2
    assert not (home / "x.log").exists()


def test_a_dry_run_keeps_no_failures(home: Path) -> None:
    """Nothing fails to be delivered where nothing is; the file of an earlier run stays as it is."""
    name = written(home / "event.json", LOG)
    result = typed("emit", name, "--dry-run", "--failed", "failed.jsonl")
    assert result.exit_code == 2
    assert "--failed goes without --dry-run" in result.stderr
    assert not (home / "failed.jsonl").exists()


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_a_dry_run_shows_no_secret(monkeypatch: pytest.MonkeyPatch, more: list[str]) -> None:
    """Neither a credential, nor any other value that came from the environment."""
    monkeypatch.setenv("TENANT", "tenant-of-mine")
    monkeypatch.setenv("HOOK", "https://hooks.example/services/T0/B0?sig=abcdef")
    settings = ["--set", "sink.headers.X-Scope-OrgID=env:TENANT"]
    settings += ["--set", "sink.headers.X-Token=very-secret"]
    result = typed("emit", "log", "x", "--to", "http_push=env:HOOK", *settings, *WORDS, *more)
    for secret in ("tenant-of-mine", "/services", "abcdef", "very-secret"):
        assert secret not in result.output
    assert "POST env:HOOK HTTP/1.1" in result.output
    assert "env:TENANT" in result.output
    assert "***" in result.output


def test_a_dry_run_through_a_server(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server says what it would send, and from its own file root; it looks the same."""
    monkeypatch.setenv("SONDA_API_KEY", KEY)
    with serving("--file-root", str(home), environ={"SONDA_API_KEY": KEY}) as server:
        through = typed("emit", "log", "x", "--to", "file=a.log", *WORDS, "--server", server.url)
        outside = typed("emit", "log", "x", "--to", "file=/a", *WORDS, "--server", server.url)
    monkeypatch.chdir(home)
    assert through.stdout == typed("emit", "log", "x", "--to", "file=a.log", *WORDS).stdout
    assert f"  path       {home / 'a.log'}\n" in through.stdout
    assert outside.exit_code == 2
    assert outside.stderr.startswith('invalid: file path "/a" is outside the file root')
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(
    "preview",
    [
        {},
        {"headers": 1, "text": 2, "hex": [], "decoded": None, "bytes": "x"},
        {"headers": ["a", ["b"], [1, 2, 3], None], "a\nb\x1b[0m": {"\x1b": []}},
        {"sink": [], "target": {}},
    ],
)
def test_any_preview_can_be_shown(preview: dict[str, Any]) -> None:
    """Whatever answers in a server's place, a line stays a line."""
    outcome = judge(200, {"sent": False, "preview": preview}, "http://h", "stdout")
    assert outcome.exit == 0
    assert all(line.isprintable() for line in outcome.details)
