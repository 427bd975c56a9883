"""The flags: what help says of them, how they are named, and how a shell completes them."""

from __future__ import annotations

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from sonda.about import version
from sonda.server.flags import FLAGS, LOG_LEVELS, make_command
from sonda.server.settings import Settings

COMMAND = make_command(lambda settings: click.echo(repr(settings)))


@pytest.mark.parametrize("flag", FLAGS, ids=lambda flag: str(flag.opts[0]))
def test_a_flag(flag: click.Option) -> None:
    """Its variable has its name, and help says what it is without it."""
    assert flag.envvar == "SONDA_" + flag.opts[0].removeprefix("--").replace("-", "_").upper()
    assert flag.help is not None
    assert "[default: " in flag.help
    if (default := getattr(Settings(), str(flag.name))) and isinstance(default, int):
        shown = flag.help.rpartition("[default: ")[2].removesuffix("]")
        assert shown in (f"{default}", f"{default >> 20}MiB", f"{default:g}", f"{default:.1f}")


def test_help() -> None:
    """It is the same whoever asks, names each variable, and has no key in it."""
    shown = CliRunner(env={"SONDA_API_KEY": "s3cret"}).invoke(COMMAND, ["--help"])
    assert shown.exit_code == 0
    assert shown.stdout.startswith("Usage: sonda-server [OPTIONS]")
    assert "SONDA_MAX_INFLIGHT_BYTES" in shown.stdout
    assert "s3cret" not in shown.stdout


def test_version() -> None:
    """The program's."""
    shown = CliRunner().invoke(COMMAND, ["--version"])
    assert shown.stdout == f"sonda {version()}\n"


@pytest.mark.parametrize(
    ("args", "incomplete", "offered"),
    [
        (["--log-level"], "", list(LOG_LEVELS)),
        (["--log-level"], "e", ["error"]),
        (["--workers"], "a", ["auto"]),
        (["--port"], "", []),
    ],
)
def test_completion(args: list[str], incomplete: str, offered: list[str]) -> None:
    """The values of a flag that has a few."""
    complete = ShellComplete(COMMAND, {}, "sonda-server", "_SONDA_SERVER_COMPLETE")
    assert [item.value for item in complete.get_completions(args, incomplete)] == offered


def test_completion_of_files_is_the_shells() -> None:
    """It knows the file system better."""
    complete = ShellComplete(COMMAND, {}, "sonda-server", "_SONDA_SERVER_COMPLETE")
    found = [complete.get_completions([flag], "x")[0].type for flag in ("--config", "--file-root")]
    assert found == ["file", "dir"]
