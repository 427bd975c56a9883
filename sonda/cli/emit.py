"""`sonda emit`: deliver one event that options describe, or the whole events of files."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

import click
from msgspec.structs import replace

from sonda.cli import options, params
from sonda.cli.params import with_options

if TYPE_CHECKING:
    from sonda.cli.addressing import Addressed
    from sonda.cli.destinations import Destination, Options
    from sonda.cli.outcomes import Outcome
    from sonda.cli.reading import Item
    from sonda.cli.sending import SendersContext
    from sonda.pipeline.net.proxies import Proxies
    from sonda.pipeline.problems import ValidationIssue

_SYNONYMS: Final = {"message": "log", "gauge": "metric", "counter": "metric"}
MANY: Final = 20  # events: beyond them a bar shows how far it is
_EXAMPLES: Final = """\b
sonda emit log "Deploy started" --label env=prod --to loki=http://loki:3100
git log -1 --format=%s | sonda emit log --to syslog=localhost:514
sonda emit metric deploy_timestamp_seconds $(date +%s) --to prometheus=http://localhost:9090
sonda emit event.json
"""


@click.group(cls=params.EmitGroup, epilog=_EXAMPLES)
def emit() -> None:
    """Deliver events, and say what became of each."""


@emit.command("log", cls=params.MessageCommand)
@click.argument("message", required=False)
@with_options(options.SEVERITY, options.LABEL, options.FIELD, options.TIMESTAMP)
@with_options(options.TO, *options.HOW, options.VERIFY, options.VERIFY_URL)
@with_options(options.SERVER, options.PROXY, *options.OUTPUT)
def emit_log(message: str | None, severity: str, fields: Mapping[str, str], **given: Any) -> None:
    """Deliver one log event. Without MESSAGE, or with -, it is read from standard input."""
    if message is None and params.reads_terminal():
        raise click.MissingParameter(param_hint="'MESSAGE'", param_type="argument")
    if not given["to"]:
        raise params.missing_destination()
    if message in (None, "-"):
        message = _message_from_standard_input()
    log = {"severity": severity, "message": message, "fields": fields}
    _emit_one({"signal_type": "logs", "log": log}, **given)


@emit.command("metric", cls=params.MetricCommand, no_args_is_help=True)
@click.argument("name")
@click.argument("value", type=params.Number())
@with_options(
    options.LABEL, options.TIMESTAMP, options.TO, *options.HOW, options.VERIFY, options.VERIFY_URL
)
@with_options(options.SERVER, options.PROXY, *options.OUTPUT)
def emit_metric(name: str, value: float, **given: Any) -> None:
    """Deliver one metric event."""
    metric = {"name": name, "value": value}
    _emit_one({"signal_type": "metrics", "metric": metric}, **given)


def _message_from_standard_input() -> str:
    from sonda.cli.reading import read_message, read_standard_input

    try:
        return read_message(read_standard_input())
    except OSError as exc:
        reason = f"cannot read standard input: {exc.strerror}"
    except ValueError as exc:
        reason = str(exc)
    raise click.BadParameter(reason, param_hint="'MESSAGE'")


def _emit_one(
    event: dict[str, Any],
    labels: Mapping[str, str],
    timestamp: str | None,
    to: tuple[str, ...],
    server: str | None,
    proxy_from_env: bool,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    **given: Any,
) -> None:
    """Deliver the event that the options describe to each destination, and exit."""
    from sonda.cli.addressing import address
    from sonda.cli.destinations import Options, destinations
    from sonda.cli.printing import show
    from sonda.cli.reading import item
    from sonda.cli.sending import send_all
    from sonda.cli.utf8 import as_utf8
    from sonda.cli.wording import as_typed
    from sonda.pipeline.deliver import now_ns

    if not to:
        raise params.missing_destination()
    stamp = {} if timestamp is None else {"timestamp": timestamp}
    described = as_utf8({**event, "labels": dict(labels), **stamp})
    one = item("", described, now_ns).event.unwrap()
    to, given = as_utf8(to), as_utf8(given)
    how = Options(**given, names_are_servers=server is not None)
    addressed = [
        replace(address(one, chosen, how), words=as_typed(chosen.spoken, how))
        for chosen in destinations(to, how)
    ]
    senders = choose_senders(server, how, proxy_from_env=proxy_from_env, dry_run=dry_run)
    outcomes = send_all(addressed, senders, concurrency=len(addressed))
    wheres = [one.spoken if len(to) > 1 else "" for one in addressed]
    verdicts = list(zip(wheres, outcomes, strict=True))
    answers = choose_stream(server, addressed, dry_run=dry_run)
    sys.exit(show(verdicts, answers, as_json=as_json, quiet=quiet))


@emit.command(params.FILES)
@options.EMITTED
@with_options(options.TO, *options.HOW, options.VERIFY, options.VERIFY_URL)
@with_options(options.SERVER, options.PROXY, *options.OUTPUT)
@with_options(options.FAILED, options.IN_FLIGHT)
def emit_files(
    files: tuple[str, ...],
    to: tuple[str, ...],
    failed: Path | None,
    concurrency: int,
    server: str | None,
    proxy_from_env: bool,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    **given: Any,
) -> None:
    """Deliver the whole events of files: JSON, JSON Lines or YAML; - is standard input."""
    from sonda.cli.destinations import Options
    from sonda.cli.printing import progress, require_writable, show, summarize, write_failed
    from sonda.cli.sending import send_all

    if dry_run and failed is not None:
        raise click.UsageError("--failed goes without --dry-run, which delivers nothing")
    how = Options(**given, names_are_servers=server is not None)
    chosen = choose_destinations(to, how)
    several = len(chosen) > 1
    if failed is not None and several and any(one.has_secrets for one in chosen if not one.named):
        raise click.UsageError(
            "--failed with several --to keeps no secrets: give the destinations names in sonda.toml"
        )
    items = read_items(files)
    rows = pair(items, chosen, how)
    addressed = [row for _, row in rows if row is not None]
    if failed is not None:
        require_writable(failed)  # now, while nothing would be lost
    many = sys.maxsize if quiet else MANY
    with progress(len(addressed), many) as done:
        senders = choose_senders(
            server,
            how,
            proxy_from_env=proxy_from_env,
            dry_run=dry_run,
            in_batches=len(addressed) > 1 and concurrency == options.CONCURRENCY,
        )
        sent = send_all(addressed, senders, concurrency=concurrency, done=done)
    outcomes = merge(rows, sent)
    several_rows = len(rows) > 1
    wheres = [where(item, row, several=several) if several_rows else "" for item, row in rows]
    verdicts = list(zip(wheres, outcomes, strict=True))
    answers = choose_stream(server, addressed, dry_run=dry_run)
    notes: list[str] = []
    if failed is not None:
        written = [as_kept(item, row, several=several) for item, row in rows]
        notes = write_failed(failed, written, outcomes, ", without --to" if several else "")
    status = show(verdicts, answers, as_json=as_json, quiet=quiet)
    if several_rows and not dry_run and not (quiet and not status):
        summarize(outcomes)
    for note in notes:
        click.echo(note, err=True)
    sys.exit(status)


def where(item: Item, row: Addressed | None, *, several: bool) -> str:
    """Return where an event stands, and for which of several destinations it is."""
    spoken = row.spoken if row is not None and several else ""
    return f"{item.where} to {spoken}" if spoken else item.where


def as_kept(item: Item, row: Addressed | None, *, several: bool) -> str:
    """Return the line by which an event can be sent again.

    Of several destinations one may have it already, so each line has its own.
    """
    from sonda.pipeline.text.compact_json import compact_text

    if not several or row is None or row.kept is None:
        return item.written
    return compact_text(row.kept)


def read_items(files: Sequence[str]) -> list[Item]:
    """Read every event before any is sent; raise click's `UsageError`."""
    from returns.result import Failure

    from sonda.cli.reading import read_events, read_standard_input
    from sonda.pipeline.deliver import now_ns
    from sonda.pipeline.schemas.remedies import did_you_mean

    if not files:
        if params.reads_terminal():
            raise click.MissingParameter(param_hint="'FILE…'", param_type="argument")
        files = ("-",)
    items: list[Item] = []
    for name in files:
        try:
            raw = read_standard_input() if name == "-" else Path(name).read_bytes()
        except OSError as exc:
            is_help = name == "help"
            hint = " (try --help)" if is_help else did_you_mean(name, ("log", "metric"), _SYNONYMS)
            hint = f": options come after '{name}'" if name in emit.commands else hint
            if " " in name and not hint:
                hint = " (a message? sonda emit log MESSAGE --to …)"
            reason = f"cannot read {name}: {exc.strerror}{hint}"
            raise click.BadParameter(reason, param_hint="FILE") from None
        found = read_events("stdin" if name == "-" else name, raw, now_ns)
        if isinstance(found, Failure):
            raise click.BadParameter(f"{name} is {found.failure()}", param_hint="FILE")
        items += found.unwrap()
    if not items:
        reason = f"there is no event in {', '.join(files)}"
        if files == ("-",):
            reason += ", the standard input (without a file: sonda emit log MESSAGE --to …)"
        raise click.BadParameter(reason, param_hint="FILE")
    return items


def choose_destinations(to: Sequence[str], how: Options) -> list[Destination]:
    """Return the destinations of `--to`; raise click's `UsageError` for an option that needs one."""
    from sonda.cli.destinations import destinations

    names = {"encoder": "--encoder", "settings": "--set", "retry": "--retry"}
    for name, option in names.items():
        if not to and options.was_typed(name, getattr(how, name)):
            raise click.UsageError(f"{option} goes with --to; without it each event has its own")
    return destinations(to, how)


def pair(
    items: Sequence[Item], chosen: Sequence[Destination], how: Options
) -> list[tuple[Item, Addressed | None]]:
    """Pair each event with each destination; what could not be read has none."""
    from returns.result import Success

    from sonda.cli.addressing import address

    rows: list[tuple[Item, Addressed | None]] = []
    for item in items:
        if isinstance(item.event, Success):
            event = item.event.unwrap()
            rows += [
                (item, findable(item, address(event, one, how), several=len(chosen) > 1))
                for one in (chosen or (None,))
            ]
        else:
            rows.append((item, None))
    return rows


def findable(item: Item, row: Addressed, *, several: bool) -> Addressed:
    """Return *row* with a function that finds its issues in the event's file or in `sonda.toml`."""
    place = item.place
    if place is None:
        return row
    in_config = row.find or (lambda _: "")

    def find(issue: ValidationIssue) -> str:
        found = place.find(item.event.unwrap(), row.event, issue) or in_config(issue)
        return f"{found} to {row.spoken}" if found and several and row.spoken else found

    return replace(row, find=find)


def merge(
    rows: Sequence[tuple[Item, Addressed | None]], outcomes: Sequence[Outcome]
) -> list[Outcome]:
    """Put the outcomes of what could be read among the problems of what could not."""
    from sonda.cli.outcomes import failed
    from sonda.pipeline.result import fold

    readable = iter(outcomes)
    return [fold(item.event, lambda _: next(readable), failed) for item, _ in rows]


def choose_senders(
    server: str | None,
    how: Options,
    *,
    proxy_from_env: bool = False,
    dry_run: bool = False,
    in_batches: bool = False,
) -> SendersContext:
    """Choose between a pipeline of our own and a server, or either's word on what it would send."""
    from sonda.cli import sending

    if server is None and dry_run:
        return sending.dry_run()
    if server is None:
        return sending.local(read_proxies() if proxy_from_env else None)
    from sonda.cli.server_access import read_api_key, trusted_context
    from sonda.cli.server_client import Connection
    from sonda.cli.through_server import remote

    api_key, trusted = read_api_key(), None
    try:
        if how.ca_cert is not None or server.lower().startswith("https://"):
            trusted = trusted_context(how.ca_cert)
    except OSError as exc:  # an `SSLError` is one
        reason = exc.strerror or exc
        raise click.BadParameter(f"{how.ca_cert}: {reason}", param_hint="'--ca-cert'") from None
    connection = Connection(server, api_key, trusted, read_proxies() if proxy_from_env else None)
    return remote(connection, dry_run=dry_run, in_batches=in_batches)


def read_proxies() -> Proxies:
    """Return the proxies that the environment names; raise click's `UsageError`."""
    from sonda.pipeline.net.proxies import Proxies

    try:
        return Proxies()
    except ValueError as exc:
        raise click.BadParameter(str(exc), param_hint="'--proxy-from-env'") from None


def choose_stream(server: str | None, addressed: Sequence[Addressed], *, dry_run: bool) -> TextIO:
    """Choose where answers go: away from standard output where that carries events."""
    in_process = server is None and not dry_run
    carries_events = in_process and any(one.goes_to_stdout for one in addressed)
    return sys.stderr if carries_events else sys.stdout
