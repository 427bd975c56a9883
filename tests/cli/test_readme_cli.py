"""What the README and docs show of the command line is what it prints."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from tests.backends.readme import snippet
from tests.support.bodies import LOG, changed
from tests.support.destinations import HttpDestination
from tests.support.serving import PATIENCE_S, Serving, serving

CHECKOUT: Final = Path(__file__).parents[2]
KEY: Final = "s3cret"
_DIFFERS: Final = (
    (r"[0-9]+(\.[0-9])? ms", "N ms"),
    (r'"(time_ns|latency_us)":[0-9]+', r'"\1":N'),
    (r'"timestamp":"[^"]*"', '"timestamp":"…"'),
    (r"20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z", "T"),
    (r'"[0-9]{19}"', '"N"'),  # nanoseconds, as Loki wants them
    (r"sonda/[0-9]\S*", "sonda/V"),
    (r'"duration_ms":"[0-9]+"', '"duration_ms":"N"'),
)


class Shown(NamedTuple):
    """A command as a reader types it, and all that it prints."""

    command: str
    printed: str


def shown(page: str, name: str) -> list[Shown]:
    """Read the commands of a block, each behind a `$`."""
    pattern = rf"<!-- {name} -->\n```console\n(.*?)```"
    block = re.search(pattern, (CHECKOUT / page).read_text(encoding="utf-8"), re.DOTALL)
    assert block, f"{page} has no {name!r}"
    parts = re.split(r"^\$ ", block[1], flags=re.MULTILINE)[1:]
    return [Shown(*part.split("\n", 1)) for part in parts]


def alike(text: str) -> str:
    """Leave out what is another time each time."""
    for pattern, replacement in _DIFFERS:
        text = re.sub(pattern, replacement, text)
    return text


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Serving]:
    with serving("--file-root", str(tmp_path), environ={"SONDA_API_KEY": KEY}) as found:
        yield found


@pytest.mark.parametrize(
    ("page", "name"),
    [
        ("README.md", "cli"),
        ("docs/cli.md", "tour"),
        ("docs/cli.md", "one"),
        ("docs/cli.md", "typed"),
        ("docs/cli.md", "many"),
        ("docs/cli.md", "named"),
        ("docs/cli.md", "dry run"),
    ],
)
def test_the_command_line_prints_what_is_shown(
    page: str, name: str, tmp_path: Path, destination: HttpDestination, server: Serving
) -> None:
    """Each command, typed as it stands there but for the ports, prints what stands below it."""
    pytest.importorskip("snappy")
    places = {
        "http://localhost:3100": destination.url,
        "http://localhost:9090": destination.url.replace("127.0.0.1", "localhost"),
        "http://localhost:8080": server.url,
    }
    block = shown(page, name)
    command = tmp_path / "bin" / "sonda"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m sonda "$@"\n')
    command.chmod(0o755)
    write_files(tmp_path, block, destination)
    environ = {
        "PATH": f"{command.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(CHECKOUT),
        "HOME": str(tmp_path),
        "LOKI_TOKEN": "Bearer made-up",
        "PYTHONWARNINGS": "error",
    }
    for typed, printed in block:
        for there, here in places.items():
            typed, printed = typed.replace(there, here), printed.replace(there, here)  # noqa: PLW2901  # the same line, here
        run = subprocess.run(
            ["bash", "-c", typed],
            cwd=tmp_path,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert alike(run.stdout) == alike(printed), typed
    assert (page, name) != ("docs/cli.md", "tour") or len(block) > 8  # the block was read


def test_the_server_answers_a_dry_run_as_shown(tmp_path: Path) -> None:
    """The dry run over HTTP is what a server says to the README's event."""
    [(typed, printed)] = shown("docs/http.md", "dry run")
    write_files(tmp_path, [], HttpDestination(""))
    with serving() as server:
        here = typed.replace("http://localhost:8080", server.url)
        run = subprocess.run(["bash", "-c", here], cwd=tmp_path, capture_output=True, check=True)
    assert alike(run.stdout.decode()) == alike(printed)


def write_files(folder: Path, block: list[Shown], destination: HttpDestination) -> None:
    """Make the files that the commands read: those that `cat` shows, and those that the text names."""
    for typed, printed in block:
        name = typed.removeprefix("cat ")
        if name not in {typed, "failed.jsonl"}:
            text = printed.replace("http://localhost:3100", destination.url)
            (folder / name).write_text(text)
    body = re.search(r"-d '(.*)'", snippet("first curl"), re.DOTALL)
    assert body
    (folder / "event.json").write_text(body[1])
    lines = [
        changed(LOG, sink={"type": "file", "path": "deploys.log"}),
        changed(LOG, sink={"type": "tcp", "address": "localhost:1"}),
    ]
    (folder / "events.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    if not (folder / "sonda.toml").exists():
        staging = f'{{ type = "loki", url = "{destination.url}" }}'
        (folder / "sonda.toml").write_text(f"[destinations.staging]\nsink = {staging}\n")
