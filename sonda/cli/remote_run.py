"""`sonda run --server`: the server runs the scenario, and the command line watches."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import click

from sonda.cli.interruption import SIGNALS
from sonda.cli.outcomes import Exit, redact
from sonda.cli.running import (
    Watcher,
    open_private,
    print_plan,
    print_report,
    warn,
    watching,
)
from sonda.cli.server_runs import ScenarioServer, ServerError, progress_of, report_of
from sonda.pipeline.text.escape import escape

_LOOK: Final = "1s"
_UNDELIVERED: Final = ("rejected", "unknown", "skipped")


def plan_on_server(
    server: ScenarioServer,
    document: Mapping[str, Any],
    secrets: Mapping[str, str],
    *,
    as_json: bool,
) -> Exit:
    """Print the plan that a server makes; return the exit status."""

    async def ask() -> dict[str, Any]:
        async with server:
            return await server.plan(document)

    try:
        found = asyncio.run(ask())
    except ServerError as exc:
        return refused(exc, as_json=as_json)
    return print_plan(redact(found, secrets), as_json=as_json)


def run_on_server(
    server: ScenarioServer,
    document: Mapping[str, Any],
    *,
    drain: str,
    failed: Path | None,
    as_json: bool,
) -> Exit:
    """Run a scenario on a server to its end; print its ledger, and return the exit status."""

    async def run() -> Exit:
        async with server:
            stopping = _Stopping(server, drain)
            started = await server.start(document)
            stopping.started(started["id"])
            warn(started.get("warnings", ()))
            run_id = started["id"]
            click.echo(f"{started['name']} runs as {run_id}", err=True)
            try:
                detail = await _watched(server, run_id)
                await stopping.wait()
            except ServerError as exc:
                unknown = f"what becomes of the run is not known (sonda scenarios show {run_id})"
                raise exc.unknown(unknown) from None
            if failed is not None:
                await _write_undelivered(failed, server, detail["scenarios"])
        return print_report(report_of(detail), as_json=as_json)

    try:
        return asyncio.run(run())
    except ServerError as exc:
        return refused(exc, as_json=as_json)


def watch_on_server(server: ScenarioServer, run_id: str, *, as_json: bool) -> Exit:
    """Watch a run until its end; print its ledger, and return the exit status."""

    async def watch() -> dict[str, Any]:
        async with server:
            return await _watched(server, run_id)

    try:
        detail = asyncio.run(watch())
    except ServerError as exc:
        return refused(exc, as_json=as_json)
    return print_report(report_of(detail), as_json=as_json)


def refused(exc: ServerError, *, as_json: bool) -> Exit:
    """Print why a server did not do what it was asked for; return the exit status."""
    if as_json:
        click.echo(json.dumps(exc.answer, ensure_ascii=False))
    else:
        word = click.style(exc.exit.word, fg="red")
        click.echo(f"{word}: {escape(str(exc))}", err=True)
    return exc.exit


class _Stopping:
    """Stops a run at the first signal, one that comes while it is started included; at once at a second."""

    def __init__(self, server: ScenarioServer, drain: str) -> None:
        self._server = server
        self._spans = [drain, "0s"]
        self._due: list[str] = []
        self._run_id: str | None = None
        self._stops: set[asyncio.Task[Any]] = set()
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                with suppress(NotImplementedError):  # Windows: there Ctrl-C ends the command
                    asyncio.get_running_loop().add_signal_handler(number, self._signalled)

    def started(self, run_id: str) -> None:
        """Take the run that is to be stopped."""
        self._run_id = run_id
        self._stop()

    async def wait(self) -> None:
        """Wait for the answers to all stops."""
        await asyncio.gather(*self._stops)

    def _signalled(self) -> None:
        if self._spans:
            self._due.append(self._spans.pop(0))
            self._stop()

    def _stop(self) -> None:
        while self._run_id is not None and self._due:
            stop = self._server.stop(self._run_id, self._due.pop(0))
            self._stops.add(asyncio.ensure_future(stop))


async def _watched(server: ScenarioServer, run_id: str) -> dict[str, Any]:
    """Show a run until it has finished."""
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    detail = await server.show(run_id)
    planned = {one.id: one.ledger.planned for one in progress_of(detail, 0.0).entries}
    noticed: set[str] = set()
    with watching(planned) as watcher:
        while True:
            progress = progress_of(detail, loop.time() - began_s)
            watcher.show(progress)
            _notice(watcher, detail, noticed)
            if detail["state"] == "finished":
                break
            detail = await server.show(run_id, _LOOK)
    return detail


def _notice(watcher: Watcher, detail: Mapping[str, Any], noticed: set[str]) -> None:
    for entry in progress_of(detail, 0.0).entries:
        for problem in entry.problems:
            if problem.text not in noticed:
                noticed.add(problem.text)
                watcher.notice(entry.id, problem.text)


async def _write_undelivered(
    path: Path, server: ScenarioServer, entries: Sequence[Mapping[str, Any]]
) -> None:
    """Write the events that were not delivered, one a line, and say whose are not all there."""
    try:
        with open_private(path) as file:
            for entry in entries:
                missing = sum(entry["ledger"][column] for column in _UNDELIVERED)
                made = await server.undelivered(entry["id"]) if missing else []
                for one in made:
                    file.write(json.dumps(one["event"], ensure_ascii=False) + "\n")
                if len({(one["outcome"], one["tick"]) for one in made}) < missing:
                    own_id = entry["id"].partition(".")[2]
                    click.echo(f"{path} lacks events of {own_id}: too many to be kept", err=True)
    except OSError as exc:
        click.echo(f"cannot write {path}: {exc.strerror}; it lacks events that failed", err=True)
