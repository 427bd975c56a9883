"""The commands of `sonda`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

import click

from sonda.about import version
from sonda.cli import params
from sonda.cli.params import with_options
from sonda.cli.run import run

if TYPE_CHECKING:
    from sonda.cli.destinations import Addressed
    from sonda.cli.outcomes import Outcome
    from sonda.cli.reading import Item
    from sonda.cli.sending import Way
    from sonda.pipeline.problems import ValidationIssue

MANY: Final = 20  # events: beyond them a bar shows how far it is
CONCURRENCY: Final = 32  # as in `sonda.library`, which help need not load
_EXAMPLES: Final = """\b
sonda emit log "Deploy started" --label env=prod --to loki=http://loki:3100
sonda emit metric deploys 1 --to remote_write=http://prom:9090/api/v1/write
sonda emit event.json
"""
_SHELLS: Final = """\b
bash: eval "$(sonda completion bash)"     in ~/.bashrc
zsh:  eval "$(sonda completion zsh)"      in ~/.zshrc, after compinit
fish: sonda completion fish | source      in ~/.config/fish/config.fish
"""
_HELP: Final = {"help_option_names": ["-h", "--help"]}


class _Sonda(click.Group):
    """Loads the command `serve` only when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), "serve"])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name != "serve":
            return super().get_command(ctx, cmd_name)
        from sonda.server import serve_command

        return serve_command()


@click.group(cls=_Sonda, context_settings=_HELP)
@click.version_option(version(), message="sonda %(version)s")
def sonda() -> None:
    """Send one log or metric event now, and know that it landed.

    The exit status is 0 if the event was delivered, 1 if it was rejected, 2 if the command or the
    event is not valid, and 3 if nobody knows; of several events the highest.
    """


@sonda.group(cls=params.EmitGroup, no_args_is_help=True, epilog=_EXAMPLES)
def emit() -> None:
    """Deliver events, and say what became of each."""


@emit.command("log", no_args_is_help=True)
@click.argument("message")
@click.option("--severity", type=click.Choice(params.SEVERITIES), default="info", show_default=True)
@with_options(params.LABEL, params.FIELD, params.TIMESTAMP, params.TO, *params.DESTINATION)
@with_options(params.SERVER, params.DRY_RUN, params.JSON)
def emit_log(message: str, severity: str, fields: Mapping[str, str], **options: Any) -> None:
    """Deliver one log event."""
    log = {"severity": severity, "message": message, "fields": fields}
    _emit_one({"signal_type": "logs", "log": log}, **options)


@emit.command("metric", cls=params.MetricCommand, no_args_is_help=True)
@click.argument("name")
@click.argument("value", type=params.Number())
@with_options(params.LABEL, params.TIMESTAMP, params.TO, *params.DESTINATION)
@with_options(params.SERVER, params.DRY_RUN, params.JSON)
def emit_metric(name: str, value: float, **options: Any) -> None:
    """Deliver one metric event."""
    metric = {"name": name, "value": value}
    _emit_one({"signal_type": "metrics", "metric": metric}, **options)


def _emit_one(
    event: dict[str, Any],
    labels: Mapping[str, str],
    timestamp: str | None,
    to: str | None,
    settings: tuple[str, ...],
    server: str | None,
    dry_run: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Deliver the event that the options describe, and exit."""
    from sonda.cli.destinations import address, destination
    from sonda.cli.printing import show
    from sonda.cli.reading import item
    from sonda.cli.sending import send_all
    from sonda.cli.wording import as_typed
    from sonda.pipeline.deliver import now_ns

    if to is None:
        raise click.MissingParameter(param_hint="'--to'", param_type="option")
    given = {} if timestamp is None else {"timestamp": timestamp}
    one = item("", {**event, "labels": labels, **given}, now_ns)
    chosen = destination(to, settings=settings, **options)
    addressed = address(one.event.unwrap(), chosen)
    way = _way(server, as_typed(to, settings), dry_run=dry_run)
    [outcome] = send_all([addressed], way)
    answers = _answers(server, [addressed], dry_run=dry_run)
    sys.exit(show([("", outcome)], answers, as_json=as_json))


@emit.command(params.FILES)
@params.EMITTED
@with_options(params.TO, *params.DESTINATION, params.SERVER, params.DRY_RUN, params.JSON)
@click.option(
    "--failed",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the events that were not delivered to this file, so that it can be sent again.",
)
@click.option(
    "--concurrency",
    type=click.IntRange(1, 1000),
    default=CONCURRENCY,
    show_default=True,
    help="Events on their way at a time; with 1 each is confirmed before the next one leaves.",
)
def emit_files(
    files: tuple[str, ...],
    failed: Path | None,
    concurrency: int,
    server: str | None,
    dry_run: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Deliver the whole events of files: JSON, JSON Lines or YAML; - is standard input."""
    from sonda.cli.printing import keep, progress, require_writable, show, summarize
    from sonda.cli.sending import send_all

    if dry_run and failed is not None:
        raise click.UsageError("--failed goes without --dry-run, which delivers nothing")
    items = _read(files)
    addressed = _address(items, **options)
    if failed is not None:
        require_writable(failed)  # now, while nothing would be lost
    with progress(len(addressed), MANY) as done:
        way = _way(server, dry_run=dry_run)
        sent = send_all(addressed, way, concurrency=concurrency, done=done)
    outcomes = _merge(items, sent)
    if failed is not None:
        keep(failed, items, outcomes)
    several = len(items) > 1
    wheres = [item.where if several else "" for item in items]
    verdicts = list(zip(wheres, outcomes, strict=True))
    answers = _answers(server, addressed, dry_run=dry_run)
    status = show(verdicts, answers, as_json=as_json)
    if several and not dry_run:
        summarize(outcomes, failed)
    sys.exit(status)


@sonda.command(no_args_is_help=True)
@params.CHECKED
@with_options(params.TO, *params.DESTINATION, params.JSON)
def check(files: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Say what is wrong with the events of files; nothing is sent."""
    from sonda.cli.printing import show
    from sonda.cli.sending import examine

    items = _read(files)
    outcomes = _merge(items, [examine(one) for one in _address(items, **options)])
    verdicts = [(item.where, outcome) for item, outcome in zip(items, outcomes, strict=True)]
    sys.exit(show(verdicts, sys.stdout, as_json=as_json))


@sonda.command()
@click.argument("kind", required=False, type=click.Choice(params.SCHEMA_KINDS), is_eager=True)
@click.argument("name", required=False, type=params.PluginName())
def schema(kind: params.SchemaKind | None, name: str | None) -> None:
    """Print the JSON Schema of an event, of a scenario, or of one encoder, sink or generator."""
    from sonda.cli.schema import event_schema, plugin_schema, scenario_schema
    from sonda.pipeline.schemas.registry import schemas_of

    if kind is None:
        document = event_schema()
    elif kind == "scenario":
        document = scenario_schema()
    elif name is None:
        raise click.UsageError(f"which {kind}? One of: {', '.join(schemas_of(kind))}")
    else:
        document = plugin_schema(kind, name)
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


sonda.add_command(run)


@sonda.command(epilog=_SHELLS)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what makes a shell complete commands, options and names."""
    from sonda.cli.completion import script

    click.echo(script(sonda, shell))


def _read(files: Sequence[str]) -> list[Item]:
    """Read every event before any is sent; raises click's `UsageError`."""
    from returns.result import Failure

    from sonda.cli.reading import read_events
    from sonda.pipeline.deliver import now_ns

    items: list[Item] = []
    for name in files:
        try:
            with click.open_file(name, "rb") as file:
                raw = file.read()
        except OSError as exc:
            hint = f": options come after '{name}'" if name in emit.commands else ""
            reason = f"cannot read {name}: {exc.strerror}{hint}"
            raise click.BadParameter(reason, param_hint="FILE") from None
        found = read_events("stdin" if name == "-" else name, raw, now_ns)
        if isinstance(found, Failure):
            raise click.BadParameter(f"{name} is {found.failure()}", param_hint="FILE")
        items += found.unwrap()
    if not items:
        raise click.BadParameter(f"there is no event in {', '.join(files)}", param_hint="FILE")
    return items


def _address(
    items: Sequence[Item],
    to: str | None,
    encoder: str | None,
    settings: tuple[str, ...],
    config: Path | None,
) -> list[Addressed]:
    """Give each event that could be read its encoder and sink: its own, or those of the options."""
    from returns.result import Success

    from sonda.cli.destinations import address, destination

    if to is None and (encoder or settings):
        option = "--encoder" if encoder else "--set"
        raise click.UsageError(f"{option} goes with --to; without it each event has its own")
    chosen = None if to is None else destination(to, encoder, settings, config)
    readable = [item.event.unwrap() for item in items if isinstance(item.event, Success)]
    return [address(event, chosen) for event in readable]


def _merge(items: Sequence[Item], outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Put the outcomes of what could be read among the problems of what could not."""
    from sonda.cli.outcomes import failed
    from sonda.pipeline.result import fold

    readable = iter(outcomes)
    return [fold(item.event, lambda _: next(readable), failed) for item in items]


def _way(
    server: str | None,
    said: Callable[[ValidationIssue], str] = str,
    *,
    dry_run: bool,
) -> Way:
    """Choose between a pipeline of our own and a server, or either's word on what it would send."""
    from sonda.cli import sending
    from sonda.pipeline.schemas.formats import header_value

    if server is None:
        return sending.nowhere(said) if dry_run else sending.here(said)
    api_key = os.environ.get("SONDA_API_KEY", "")
    try:
        header_value(api_key)
    except ValueError as exc:
        raise click.UsageError(f"SONDA_API_KEY: {exc}") from None
    return sending.through(server, api_key, dry_run=dry_run)


def _answers(server: str | None, addressed: Sequence[Addressed], *, dry_run: bool) -> TextIO:
    """Choose where answers go: away from standard output where that carries events."""
    in_process = server is None and not dry_run
    carries_events = in_process and any(one.goes_to_stdout for one in addressed)
    return sys.stderr if carries_events else sys.stdout
