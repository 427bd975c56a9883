"""The scripts that make a shell complete what is typed after `sonda`."""

from __future__ import annotations

from typing import Final

import click
from click.shell_completion import get_completion_class

_END: Final = "    return 0\n"
_NO_SPACE: Final = "    [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace\n"


_SHELLS: Final = """\b
bash: eval "$(sonda completion bash)"     in ~/.bashrc
zsh:  eval "$(sonda completion zsh)"      in ~/.zshrc, after compinit
fish: sonda completion fish | source      in ~/.config/fish/config.fish
"""


@click.command(epilog=_SHELLS)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print what makes a shell complete commands, options and names."""
    click.echo(script(ctx.find_root().command, shell))


def script(command: click.Command, shell: str) -> str:
    """Return the script for bash, zsh or fish.

    In bash no blank is put behind `loki=`, where the target follows; fish leaves it out by itself.
    """
    complete = get_completion_class(shell)
    if complete is None:
        raise AssertionError(shell)
    source = complete(command, {}, "sonda", "_SONDA_COMPLETE").source()
    return source.replace(_END, _NO_SPACE + _END) if shell == "bash" else source
