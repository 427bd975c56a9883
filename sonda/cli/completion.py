"""The scripts that make a shell complete what is typed after `sonda`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


def script(command: click.Command, shell: str) -> str:
    """Give the script for bash, zsh or fish."""
    complete = get_completion_class(shell)
    if complete is None:
        raise AssertionError(shell)
    return complete(command, {}, "sonda", "_SONDA_COMPLETE").source()
