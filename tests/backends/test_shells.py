"""The completion scripts in real shells: what they offer where somebody presses Tab."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import pytest

from .conftest import installed
from .install import program

CONFIG: Final = '[destinations.staging]\nsink = { type = "loki", url = "http://loki:3100" }\n'
SINKS: Final = [
    *("file=", "http_push=", "kafka=", "loki=", "otlp", "otlp_grpc=", "otlp_http="),
    *("prometheus=", "remote_write=", "stdout", "syslog=", "tcp=", "udp="),
]
SEVERITIES: Final = ["trace", "debug", "info", "warn", "error", "fatal", "warning"]
CASES: Final = [
    (["com"], ["completion"]),
    (["emit", "l"], ["log"]),
    (["emit", "log", "x", "--sev"], ["--severity"]),
    (["emit", "log", "x", "--severity", ""], SEVERITIES),
    (["emit", "log", "x", "--to", ""], ["staging", *SINKS]),
    (["emit", "metric", "m", "1", "--to", "lo"], ["loki="]),
    (["emit", "log", "x", "--label", "a=b", "--encoder", "j"], ["json_lines"]),
    (["emit", "event.json", "--fa"], ["--failed"]),
    (["schema", "sink", "o"], ["otlp_grpc", "otlp_http"]),
    (["completion", ""], ["bash", "fish", "zsh"]),
]

BASH: Final = """
eval "$(sonda completion bash)"
compopt() { :; }  # only works while Tab is pressed
COMP_WORDS=(%s) COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
$(complete -p sonda | sed 's/.*-F \\([^ ]*\\).*/\\1/') sonda
printf '%%s\\n' "${COMPREPLY[@]}"
"""
ZSH: Final = """
module_path=(${ZSH_ROOT}/usr/lib/*/zsh/*(N) $module_path)
fpath=(${ZSH_ROOT}/usr/share/zsh/functions/*(N) $fpath)
autoload -Uz compinit && compinit -u -d zcompdump
eval "$(sonda completion zsh)"
_path_files() { }  # these three only work while Tab is pressed
_describe() { print -rl -- ${(P)argv[-2]%%%%:*} }
compadd() { print -rl -- ${(P)argv[-1]} }
words=(sonda %s) CURRENT=${#words}
${_comps[sonda]}
"""
FISH: Final = """
set --prepend fish_function_path $FISH_FUNCTIONS
sonda completion fish | source
complete --do-complete %s
"""


@pytest.fixture
def environ(tmp_path: Path) -> Mapping[str, str]:
    """Make `sonda` a command, in a home without anything."""
    command = tmp_path / "bin" / "sonda"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m sonda "$@"\n')
    command.chmod(0o755)
    (tmp_path / "sonda.toml").write_text(CONFIG)
    return {
        "PATH": f"{command.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "HOME": str(tmp_path),
        "LC_ALL": "C.UTF-8",
    }


def run(words: tuple[str, ...], environ: Mapping[str, str]) -> list[str]:
    """Run a shell, which has nothing to complain about, and give what it offers."""
    done = subprocess.run(
        words,
        env=environ,
        cwd=environ["HOME"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stderr == ""
    return [line.partition("\t")[0] for line in done.stdout.splitlines()]


def bash(line: list[str], environ: Mapping[str, str]) -> list[str]:
    return run(("bash", "--norc", "-c", BASH % shlex.join(["sonda", *line])), environ)


def zsh(line: list[str], environ: Mapping[str, str]) -> list[str]:
    folder = installed("zsh")
    words, more = program(folder, "root/bin/zsh", "-f", "-c", ZSH % shlex.join(line))
    return run(words, {**environ, **more, "ZSH_ROOT": str(folder / "root")})


def fish(line: list[str], environ: Mapping[str, str]) -> list[str]:
    folder = installed("fish")
    typed = shlex.join(["sonda", *line[:-1]]) + f" {line[-1]}"
    script = FISH % shlex.quote(typed)
    words, more = program(folder, "root/usr/bin/fish", "--no-config", "-c", script)
    functions = str(folder / "root/usr/share/fish/functions")
    return run(words, {**environ, **more, "FISH_FUNCTIONS": functions})


@pytest.mark.parametrize("shell", [bash, zsh, fish], ids=["bash", "zsh", "fish"])
@pytest.mark.parametrize(("line", "offered"), CASES, ids=[" ".join(line) for line, _ in CASES])
def test_tab(
    shell: Callable[[list[str], Mapping[str, str]], list[str]],
    environ: Mapping[str, str],
    line: list[str],
    offered: list[str],
) -> None:
    """Commands, options, sinks, encoders, named destinations and severities are offered."""
    assert sorted(shell(line, environ)) == sorted(offered)


def test_bash_splits_at_colons(environ: Mapping[str, str]) -> None:
    """The words that bash makes of `loki=http://…` do not confuse what comes after them."""
    line = ["emit", "log", "x", "--to", "loki", "=", "http", ":", "//loki", ":", "3100", "--enc"]
    assert bash(line, environ) == ["--encoder"]
