"""The scripts that make a shell complete what is typed after `sonda`."""

from __future__ import annotations

from typing import Final

import click
from click.shell_completion import get_completion_class

_END: Final = "    return 0\n"
_NO_SPACE: Final = "    [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace\n"


def script(command: click.Command, shell: str) -> str:
    """Give the script for bash, zsh or fish.

    In bash no blank is put behind `loki=`, where the target follows; fish leaves it out by itself.
    """
    complete = get_completion_class(shell)
    if complete is None:
        raise AssertionError(shell)
    source = complete(command, {}, "sonda", "_SONDA_COMPLETE").source()
    return source.replace(_END, _NO_SPACE + _END) if shell == "bash" else source
