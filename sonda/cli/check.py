"""`sonda check`: what is wrong with the events of files."""

from __future__ import annotations

import sys
from typing import Any

import click

from sonda.cli import options, params
from sonda.cli.params import with_options


@click.command(cls=params.MessageCommand)
@options.CHECKED
@with_options(options.TO, *options.HOW, options.JSON, options.QUIET)
def check(
    files: tuple[str, ...], to: tuple[str, ...], as_json: bool, quiet: bool, **given: Any
) -> None:
    """Check the events of files; nothing is sent. - is standard input."""
    from sonda.cli.destinations import Options
    from sonda.cli.emit import choose_destinations, merge, pair, read_items, where
    from sonda.cli.printing import show
    from sonda.cli.sending import examine

    how = Options(**given)
    chosen = choose_destinations(to, how)
    rows = pair(read_items(files), chosen, how)
    outcomes = merge(rows, [examine(row) for _, row in rows if row is not None])
    wheres = [where(item, row, several=len(chosen) > 1) for item, row in rows]
    verdicts = list(zip(wheres, outcomes, strict=True))
    sys.exit(show(verdicts, sys.stdout, as_json=as_json, quiet=quiet))
