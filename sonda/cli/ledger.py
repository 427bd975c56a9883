"""`sonda ledger`: what the ledgers of several runs come to."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Final

import click

_SHOWN_MISSING: Final = 20


@click.group()
def ledger() -> None:
    """Add up the ledgers of the shards of a run."""


@ledger.command("merge", no_args_is_help=True)
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
def merge_command(files: tuple[Path, ...]) -> None:
    """Add up what `sonda run --shard I/N --json` printed, one file for each shard.

    The status is that of the worst verdict; a missing shard's events are unknown.
    """
    from sonda.cli.outcomes import Exit
    from sonda.pipeline.scenarios.merged_ledger import merge, read_part
    from sonda.pipeline.text.compact_json import compact_text
    from sonda.pipeline.text.escape import escape

    parts = []
    for file in files:
        try:
            parts.append(read_part(json.loads(file.read_bytes())))
        except (ValueError, RecursionError) as exc:
            raise click.BadParameter(escape(f"{file}: {exc}"), param_hint="FILES") from None
    try:
        merged = merge(parts)
    except ValueError as exc:
        raise click.BadParameter(escape(str(exc)), param_hint="FILES") from None
    click.echo(compact_text(merged.document()))
    click.echo(escape(f"{merged.name}: {merged.ledger}"), err=True)
    for index in merged.missing[:_SHOWN_MISSING]:
        click.echo(f"shard {index}/{merged.count} is missing", err=True)
    if len(merged.missing) > _SHOWN_MISSING:
        click.echo(f"and {len(merged.missing) - _SHOWN_MISSING:,} more", err=True)
    found = merged.ledger
    if found.unknown or merged.missing:
        sys.exit(Exit.UNKNOWN)
    sys.exit(Exit.REJECTED if found.rejected or found.skipped else Exit.DELIVERED)
