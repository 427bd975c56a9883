"""`sonda run`: a scenario from a file, at its rate, with a ledger at its end."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import click

from sonda.cli import params
from sonda.cli.params import with_options

if TYPE_CHECKING:
    from sonda.cli.interruption import Stops
    from sonda.pipeline.problems import Problem, ValidationIssue
    from sonda.pipeline.scenarios.plan import Scenario
    from sonda.pipeline.scenarios.reading import Document
    from sonda.pipeline.scenarios.states import Shard

_EXAMPLES: Final = """\b
sonda run demo.yaml
sonda run demo.yaml --to loki=http://localhost:3100 --rate 100
sonda run demo.yaml --dry-run
"""
_MOST_DRAIN_S: Final = 300
_SHARD: Final = re.compile(r"([0-9]{1,5})/([0-9]{1,5})", re.ASCII)


class Span(click.ParamType[str, str]):
    """A duration such as `10s`."""

    name = "duration"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from sonda.pipeline.scenarios.numbers import seconds

        try:
            seconds(value)
        except ValueError as exc:
            self.fail(str(exc), param, ctx)
        return value


class ShardOption(click.ParamType[Any, str]):
    """Which shard: `I/N`, I from 0."""

    name = "I/N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from sonda.pipeline.scenarios.states import Shard

        match = _SHARD.fullmatch(value)
        if match is None or int(match[1]) >= int(match[2]):
            self.fail("expected I/N with I from 0 to N - 1, such as 0/4", param, ctx)
        return Shard(int(match[1]), int(match[2]))


def _override(*names: str, **settings: Any) -> Any:
    """Return an option that no variable of the environment sets: it would alter a scenario unseen."""
    return click.option(*names, allow_from_autoenv=False, **settings)


_OVERRIDES: Final = (
    _override("--rate", metavar="NUMBER", help="Events per second, of every entry."),
    _override("--duration", type=Span(), help="When every entry ends."),
    _override("--count", metavar="INTEGER", help="How many events every entry has."),
    _override("--seed", metavar="INTEGER", help="What the whole scenario is drawn from."),
    _override("--start-time", metavar="TIME", help="Of the first stamps: RFC 3339, now or -6h."),
    _override("--pace", type=click.Choice(["real", "max"]), help="max: without waiting."),
    _override(
        "--label",
        "labels",
        multiple=True,
        metavar="NAME=VALUE",
        callback=params.pairs,
        help="A label of every event.",
    ),
    _override("--to", type=params.To(), help="Where all events go, in place of the file's sinks."),
    _override(
        "--set",
        "settings",
        multiple=True,
        metavar="PATH=VALUE",
        help="Any other option: encoder.precision=2, sink.timeout=2s.",
    ),
    _override(
        "--on-sink-error",
        type=click.Choice(["warn", "fail"]),
        help="fail: an entry ends at its first event that is rejected or unknown.",
    ),
)


@click.command("run", no_args_is_help=True, epilog=_EXAMPLES)
@click.argument("file", metavar="FILE|-", type=click.Path())
@with_options(*_OVERRIDES)
@click.option(
    "--dry-run", is_flag=True, help="Show the plan, the first events and where they would go."
)
@click.option("--json", "as_json", is_flag=True, help="Print the plan or the ledger as one object.")
@click.option(
    "--failed",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the events that were not delivered to this file.",
)
@click.option(
    "--drain", type=Span(), default="10s", show_default=True, help="How long a stop waits."
)
@click.option(
    "--shard",
    type=ShardOption(),
    help="Run part I of N of the plan: metrics by series, logs by tick.",
)
@click.option(
    "--server",
    metavar="URL",
    help="Let this server run it; its key is SONDA_API_KEY in the environment.",
)
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The file with named destinations.  [default: the nearest sonda.toml]",
)
@click.pass_obj
def run(
    stops: Stops,
    /,
    file: str,
    dry_run: bool,
    as_json: bool,
    failed: Path | None,
    drain: str,
    shard: Shard | None,
    server: str | None,
    config: Path | None,
    **overrides: Any,
) -> None:
    """Run the scenario in FILE, and say what became of every event.

    Ctrl-C waits for what is in flight; a second one does not.
    """
    if failed is not None:
        from sonda.cli.printing import require_writable

        if dry_run:
            raise click.UsageError("--failed goes without --dry-run, which delivers nothing")
        require_writable(failed)
    with nullcontext() if Path(file).is_file() else stops.raising():  # others may never end
        source, document = _read(file, as_json=as_json)
    if server is not None:
        if shard is not None:
            raise click.UsageError("--shard goes without --server, which runs the whole")
        _drain_s(drain)
        given = _OnServer(server, drain, failed, dry_run=dry_run, as_json=as_json)
        with stops.raising():
            sys.exit(given.run(document, _overridden(document, overrides, config)))
    compiling = partial(
        _compile, source, document, overrides, config=config, shard=shard, as_json=as_json
    )
    if dry_run:
        from sonda.cli.running import show_plan

        with stops.raising():
            sys.exit(show_plan(*compiling(), as_json=as_json))
    from sonda.cli.running import run_scenario

    drain_s = _drain_s(drain)
    scenario, secrets = compiling()
    sys.exit(
        run_scenario(
            scenario, secrets, drain_s=drain_s, failed=failed, as_json=as_json, stops=stops
        )
    )


def _overridden(
    document: Document, overrides: Mapping[str, Any], config: Path | None
) -> dict[str, str]:
    """Apply the options to a document; return the secrets that they named."""
    from sonda.cli.overrides import apply

    secrets: dict[str, str] = {}
    apply(document.tree, overrides, config, secrets)
    return secrets


@dataclass(frozen=True, slots=True)
class _OnServer:
    """How a server is to run a scenario."""

    url: str
    drain: str
    failed: Path | None
    dry_run: bool
    as_json: bool

    def run(self, document: Document, secrets: Mapping[str, str]) -> int:
        """Let the server run the document, or plan it; return the exit status."""
        from sonda.cli.remote_run import plan_on_server, run_on_server
        from sonda.cli.server_access import trusted_context
        from sonda.cli.server_runs import ScenarioServer
        from sonda.pipeline.scenarios.reading import plain

        asked = ScenarioServer(self.url, trusted_context(None))
        tree = plain(document.tree)
        if self.dry_run:
            return plan_on_server(asked, tree, secrets, as_json=self.as_json)
        return run_on_server(
            asked, tree, drain=self.drain, failed=self.failed, as_json=self.as_json
        )


def _drain_s(drain: str) -> float:
    from sonda.pipeline.scenarios.numbers import seconds

    span_s = float(seconds(drain))
    if span_s > _MOST_DRAIN_S:
        raise click.BadParameter("at most 5m", param_hint="'--drain'")
    return span_s


@dataclass(frozen=True, slots=True)
class _Source:
    """A file as it was read, or standard input."""

    file: str
    raw: bytes

    def where(self, issue: ValidationIssue | None, tree: Mapping[str, Any]) -> str:
        """Return the file and, where an issue of *tree* stands in it, line and column."""
        from sonda.pipeline.scenarios.issue_positions import position_of

        name = "stdin" if self.file == "-" else self.file
        position = None if issue is None else position_of(self.raw, os.environ, tree, issue)
        return name if position is None else f"{name}:{position}"


def _read(file: str, *, as_json: bool) -> tuple[_Source, Document]:
    """Return a scenario as it is written, or exit with what is wrong with it."""
    from returns.result import Failure

    from sonda.pipeline.scenarios.reading import MOST_BYTES, read_file

    try:
        with click.open_file(file, "rb") as opened:
            raw = opened.read(MOST_BYTES + 1)
    except OSError as exc:
        reason = f"cannot read {file}: {exc.strerror}"
        raise click.BadParameter(reason, param_hint="FILE") from None
    document = read_file(raw, os.environ)
    if isinstance(document, Failure):
        _refuse(_Source(file, raw), document.failure(), {}, as_json=as_json)
    return _Source(file, raw), document.unwrap()


def _compile(
    source: _Source,
    document: Document,
    overrides: Mapping[str, Any],
    *,
    config: Path | None,
    shard: Shard | None,
    as_json: bool,
) -> tuple[Scenario, Mapping[str, str]]:
    """Return the scenario and its secrets, or exit with what is wrong with it."""
    from returns.result import Failure

    from sonda.cli.overrides import named_destinations
    from sonda.pipeline.deliver import now_ns
    from sonda.pipeline.scenarios.compile import compile_document
    from sonda.pipeline.scenarios.local_files import open_rows

    secrets = _overridden(document, overrides, config)
    known = named_destinations(document.tree, config, secrets)
    compiled = compile_document(document, now_ns=now_ns(), destinations=known, open_text=open_rows)
    if isinstance(compiled, Failure):
        _refuse(source, compiled.failure(), secrets, document.tree, as_json=as_json)
    scenario = compiled.unwrap()
    if shard is not None:
        from sonda.pipeline.scenarios.shards import shard_of

        scenario = shard_of(scenario, shard)
        if not scenario.entries:
            click.echo(f"shard {shard} has no event: there are fewer series than shards", err=True)
    return scenario, secrets


def _refuse(
    source: _Source,
    problem: Problem,
    secrets: Mapping[str, str],
    tree: Mapping[str, Any] = MappingProxyType({}),
    *,
    as_json: bool,
) -> None:
    """Print what is wrong with the scenario, an issue a line, and exit: nothing was sent."""
    from sonda.cli.outcomes import Exit, failed, redacted
    from sonda.pipeline.problems import Invalid, Malformed
    from sonda.pipeline.text.escape import escape

    if as_json:
        answer = redacted(failed(problem), secrets).answer
        click.echo(json.dumps(answer, ensure_ascii=False))
        sys.exit(Exit.INVALID)
    parts: list[tuple[ValidationIssue | None, Problem]] = [(None, problem)]
    if isinstance(problem, (Malformed, Invalid)):
        parts = [(issue, type(problem)((issue,))) for issue in problem.issues]
    for issue, part in parts:
        detail = escape(str(redacted(failed(part), secrets).answer["detail"]))
        invalid = click.style("invalid", fg="red")
        click.echo(f"{source.where(issue, tree)}: {invalid}: {detail}", err=True)
    if more := getattr(problem, "more", 0):
        click.echo(f"and {more} more", err=True)
    sys.exit(Exit.INVALID)
