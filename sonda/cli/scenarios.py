"""`sonda scenarios`: what a server runs."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final

import click

from sonda.cli import options
from sonda.cli.params import with_options

if TYPE_CHECKING:
    from sonda.cli.server_runs import ScenarioServer

_STATES: Final = ("pending", "running", "stopping", "finished")
_SERVER_OPTION: Final[dict[str, Any]] = {
    "metavar": "URL",
    "help": "The server; its key is SONDA_API_KEY in the environment.",
}
_SERVER: Final = options.option("--server", required=True, **_SERVER_OPTION)
_JSON: Final = click.option(
    "--json", "as_json", is_flag=True, help="Print what the server answers."
)
_EXAMPLES: Final = """\b
sonda scenarios list --server http://localhost:8080
sonda scenarios watch ID --server http://localhost:8080
sonda scenarios stop ID --server http://localhost:8080
"""


@click.group("scenarios", no_args_is_help=True, invoke_without_command=True, epilog=_EXAMPLES)
@options.option("--server", **_SERVER_OPTION)
@click.pass_context
def scenarios(context: click.Context, server: str | None) -> None:
    """List, show, stop and watch the scenarios that a server runs; without a command list them."""
    if server is not None:
        context.default_map = {name: {"server": server} for name in scenarios.commands}
    if context.invoked_subcommand is None:
        with list_runs.make_context("list", [], parent=context) as of_list:
            list_runs.invoke(of_list)


@scenarios.command("list")
@with_options(_SERVER, options.PROXY, _JSON)
@click.option("--state", type=click.Choice(_STATES), help="Only those.")
def list_runs(server: str, proxy_from_env: bool, as_json: bool, state: str | None) -> None:
    """List the runs, the newest first."""
    found = _ask(server, proxy_from_env, as_json, lambda asked: asked.listed(state))
    if as_json:
        _print(found)
        return
    for run in found:
        ledger = run["ledger"]
        planned = "" if ledger["planned"] is None else f" of {ledger['planned']:,}"
        counted = f"{ledger['delivered']:,}{planned} delivered"
        others = ", ".join(
            f"{ledger[name]:,} {name}"
            for name in ("rejected", "unknown", "skipped")
            if ledger[name]
        )
        how = run["outcome"] or ("degraded" if run["degraded"] else run["state"])
        click.echo(
            f"{run['id']}  {how:11}  {_line(run['name'])}: {counted}{others and ', '}{others}"
        )


@scenarios.command("show")
@click.argument("run_id", metavar="ID")
@with_options(_SERVER, options.PROXY, _JSON)
def show(run_id: str, server: str, proxy_from_env: bool, as_json: bool) -> None:
    """Show a run, or an entry of one: its ledger, rate, lag and problems."""
    found = _ask(server, proxy_from_env, as_json, lambda asked: asked.show(run_id))
    if as_json:
        _print(found)
        return
    from sonda.cli.server_runs import progress_of

    how = found["outcome"] or found["state"]
    click.echo(f"{_line(found['name'])}: {how}")
    for entry in progress_of(found, 0.0).entries:
        rate = f"{entry.last_1s:,.4g}/s of {entry.target_rate:,.4g}/s, lag {entry.lag_s:.1f} s"
        click.echo(f"  {entry.id}: {entry.ledger}; {rate}")
        for problem in entry.problems:
            click.echo(f"    {problem.count:,} times {_line(problem.text)}")


@scenarios.command("stop")
@click.argument("run_id", metavar="ID")
@with_options(_SERVER, options.PROXY, _JSON)
@click.option("--drain", default="10s", show_default=True, help="How long the stop waits.")
@click.option("--forget", is_flag=True, help="Remove the record, too.")
def stop(
    run_id: str, server: str, proxy_from_env: bool, as_json: bool, drain: str, forget: bool
) -> None:
    """Stop a run, or an entry of one, and wait until it has drained."""
    found = _ask(
        server, proxy_from_env, as_json, lambda asked: asked.stop(run_id, drain, forget=forget)
    )
    if as_json:
        _print(found)
    else:
        columns = {name: value for name, value in found["ledger"].items() if value}
        counted = ", ".join(f"{name} {value:,}" for name, value in columns.items())
        click.echo(f"{found['id']}: {found['status']}: {counted or 'nothing is due'}")


@scenarios.command("watch")
@click.argument("run_id", metavar="ID")
@with_options(_SERVER, options.PROXY, _JSON)
def watch(run_id: str, server: str, proxy_from_env: bool, as_json: bool) -> None:
    """Watch a run until it ends; the exit status is as of `sonda run`. Ctrl-C ends the watching."""
    from sonda.cli.remote_run import watch_on_server

    sys.exit(watch_on_server(_server(server, proxy_from_env), run_id, as_json=as_json))


def _server(url: str, proxy_from_env: bool) -> ScenarioServer:
    from sonda.cli.server_access import trusted_context
    from sonda.cli.server_runs import ScenarioServer

    return ScenarioServer(url, trusted_context(None), proxy_from_env=proxy_from_env)


def _ask(
    url: str,
    proxy_from_env: bool,
    as_json: bool,
    what: Callable[[ScenarioServer], Coroutine[Any, Any, Any]],
) -> Any:
    """Ask a server; where it refuses, print why, and exit."""
    from sonda.cli.remote_run import refused
    from sonda.cli.server_runs import ServerError

    async def ask() -> Any:
        async with _server(url, proxy_from_env) as asked:
            return await what(asked)

    try:
        return asyncio.run(ask())
    except ServerError as exc:
        sys.exit(refused(exc, as_json=as_json))


def _print(document: Any) -> None:
    from sonda.pipeline.text.compact_json import compact_text

    click.echo(compact_text(document))


def _line(text: str) -> str:
    from sonda.pipeline.text.escape import escape

    return escape(text)
