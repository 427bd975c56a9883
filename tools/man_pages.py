"""Write the manual pages of `sonda` and its commands: `python -m tools.man_pages build/man`."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from click_man.core import write_man_pages

from sonda.about import version
from sonda.cli.commands import sonda


def write(folder: Path) -> None:
    """Write one page for each command into *folder*."""
    folder.mkdir(parents=True, exist_ok=True)
    ctx = click.Context(sonda, info_name="sonda")
    found = {name: sonda.get_command(ctx, name) for name in sonda.list_commands(ctx)}
    commands = {name: command for name, command in found.items() if command is not None}
    # `sonda` loads each command when it is typed; a page needs all of them.
    loaded = click.Group("sonda", help=sonda.help, params=sonda.params, commands=commands)
    write_man_pages("sonda", loaded, version=version(), target_dir=str(folder))
    for page in folder.glob("sonda-emit-FILE*.1"):
        page.rename(folder / "sonda-emit-file.1")  # a name that can be typed


if __name__ == "__main__":
    write(Path(sys.argv[1]))
