"""The command `sonda`, which loads each of its subcommands when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Final

import click

from sonda.about import version

# By name: the module, and in it the click command or a function that returns it.
COMMANDS: Final = {
    "check": ("sonda.cli.check", "check"),
    "completion": ("sonda.cli.completion", "completion"),
    "emit": ("sonda.cli.emit", "emit"),
    "ledger": ("sonda.cli.ledger", "ledger"),
    "run": ("sonda.cli.run", "run"),
    "scenarios": ("sonda.cli.scenarios", "scenarios"),
    "schema": ("sonda.cli.schema", "schema"),
    "serve": ("sonda.server", "serve_command"),
    "wrap": ("sonda.cli.wrap", "wrap"),
}
_HANDLES_SIGNALS: Final = ("serve",)
_STOPPED_BY_SIGNALS: Final = ("run",)
_HELP: Final = {"help_option_names": ["-h", "--help"]}


class _Sonda(click.Group):
    """Loads a subcommand when it is asked for, and ends an interrupted one with one line."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name]
        found = getattr(import_module(module), name)
        command: click.Command = found if isinstance(found, click.Command) else found()
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] in _STOPPED_BY_SIGNALS:  # even while it is loaded
            from sonda.cli.interruption import Stops

            ctx.obj = ctx.with_resource(Stops())
        if args[0] not in COMMANDS and not (args[0].startswith("-") or ctx.resilient_parsing):
            from sonda.pipeline.schemas.remedies import did_you_mean

            remedy = _ask_instead(args) or did_you_mean(args[0], COMMANDS)
            ctx.fail(f"No such command {args[0]!r}{remedy}.")
        name, command, rest = super().resolve_command(ctx, args)
        if name in _HANDLES_SIGNALS:
            from sonda.cli.interruption import restore_default_signals

            restore_default_signals()
        return name, command, rest

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        with _one_line_where_interrupted():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with _one_line_where_interrupted():
            return super().invoke(ctx)


def _ask_instead(args: Sequence[str]) -> str:
    """Return the option for what other programs have a command for, or nothing."""
    if args[0] == "version":
        return " (try sonda --version)"
    if args[0] != "help":
        return ""
    command = next((f" {name}" for name in args[1:2] if name in COMMANDS), "")
    return f" (try sonda{command} --help)"


@contextmanager
def _one_line_where_interrupted() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        raise SystemExit(1) from None


@click.group(cls=_Sonda, context_settings=_HELP)
@click.version_option(version(), message="sonda %(version)s")
def sonda() -> None:
    """Send one log or metric event now, and know that it landed.

    The exit status is 0 if the event was delivered, 1 if it was rejected or never left, 2 if the
    command or the event is not valid, 3 if its outcome is unknown, and 4 if it was delivered but
    not seen by --verify in time; of several events the worst, in the order 3, 1, 4, 2, 0.

    Each option is also a variable of the environment, such as SONDA_TO for --to.
    """
