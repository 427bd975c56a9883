"""The kinds of arguments and options, how each is read, and how a shell completes it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, TypeVar, get_args

import click
from click.shell_completion import CompletionItem

from sonda.pipeline.model import Severity

SEVERITIES: Final = (*get_args(Severity), "warning")
SchemaKind: TypeAlias = Literal["encoder", "sink", "generator", "log_generator", "scenario"]
SCHEMA_KINDS: Final = get_args(SchemaKind)
FILES: Final = "FILE…"  # what stands for `log` or `metric`; help and usage show it so

_NUMBER: Final = re.compile(r"-[0-9.][0-9.eE+-]*")

F = TypeVar("F", bound=Callable[..., Any])


class To(click.ParamType[str, str]):
    """A sink with its target, or a named destination."""

    name = "SINK=TARGET|NAME"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[Any]]:
        """Complete sinks, an equals sign behind those that need a target, and named destinations."""
        from returns.result import Success

        from sonda.cli.destinations import example, known_destinations, target
        from sonda.pipeline.schemas.registry import PLUGINS

        config = ctx.params.get("config")
        known = known_destinations(config)
        named = known.unwrap() if isinstance(known, Success) else {}
        items = [CompletionItem(name, help=target(named[name].sink)) for name in sorted(named)]
        for name in PLUGINS["sink"]:
            shown = example(name)
            equals = "=" if "=" in shown else ""
            items.append(CompletionItem(name + equals, help=shown))
        return [item for item in items if item.value.startswith(incomplete)]


class PluginName(click.ParamType[str, str]):
    """The name of an encoder; with `sonda schema` of either kind."""

    def __init__(self, kind: Literal["encoder", "sink"] | None = None) -> None:
        self._kind = kind
        self.name = "NAME"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from sonda.pipeline.schemas.issues import unknown_variant

        names = self._names(ctx)
        if value not in names:
            self.fail(unknown_variant(value, names), param, ctx)
        return value

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[Any]]:
        return [CompletionItem(n) for n in self._names(ctx) if n.startswith(incomplete)]

    def _names(self, ctx: click.Context | None) -> Iterable[str]:
        from sonda.pipeline.schemas.registry import schemas_of

        kind = self._kind or (ctx.params.get("kind") if ctx else None) or "sink"
        return () if kind == "scenario" else schemas_of(kind)


class Number(click.ParamType[float, str]):
    """A finite number."""

    name = "number"

    def convert(
        self, value: str | float, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        try:
            number = float(value)
        except ValueError:
            self.fail(f"{value!r} is not a number", param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number", param, ctx)
        return number


class MetricCommand(click.Command):
    """Takes `-5` for a value, not for an option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--" not in args:
            numbers = [arg for arg in args if _NUMBER.fullmatch(arg)]
            args = [arg for arg in args if arg not in numbers]
            args += ["--", *numbers] if numbers else []
        return super().parse_args(ctx, args)


class EmitGroup(click.Group):
    """`emit log`, `emit metric`, and `emit FILE …` for whatever else comes first."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in (*self.commands, "-h", "--help"):
            args = [FILES, *args]
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name in super().list_commands(ctx) if name != FILES]

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[Any]]:
        """Complete the two commands, and what stands in their place: bash wants files first."""
        if incomplete.startswith("-"):
            files = self.commands[FILES]
            inner = click.Context(files, parent=ctx, info_name=FILES, resilient_parsing=True)
            return files.shell_complete(inner, incomplete)
        return [CompletionItem(incomplete, type="file"), *super().shell_complete(ctx, incomplete)]

    def collect_usage_pieces(self, _ctx: click.Context) -> list[str]:
        return ["log|metric|FILE…", "[OPTIONS]"]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the options that go with a file, too; those of the two commands are their own."""
        files = self.commands[FILES]
        options = [one for one in files.params if isinstance(one, click.Option)]
        records = [record for one in options if (record := one.get_help_record(ctx))]
        with formatter.section("Options with FILE"):
            formatter.write_dl(records)
        self.format_commands(ctx, formatter)


def pairs(ctx: click.Context, param: click.Parameter, values: Sequence[str]) -> Mapping[str, str]:
    """Read `NAME=VALUE`, each name once."""
    read: dict[str, str] = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not equals:
            raise click.BadParameter(f"{value!r}: expected NAME=VALUE", ctx, param)
        if name in read:
            raise click.BadParameter(f"{name!r} is given twice", ctx, param)
        read[name] = text
    return read


def server_url(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Check the URL of a server."""
    from sonda.pipeline.values.addresses import parse_http_url

    if value is None or ctx.resilient_parsing:
        return value
    try:
        found = parse_http_url(value)
    except ValueError as exc:
        raise click.BadParameter(str(exc), ctx, param) from None
    if found.userinfo:
        reason = "a key belongs into the environment, as SONDA_API_KEY"
        raise click.BadParameter(reason, ctx, param)
    return value


_PATH: Final = click.Path(exists=True, dir_okay=False, path_type=Path)

TO: Final = click.option(
    "--to", type=To(), help="Where to: loki=http://loki:3100, stdout, or a name of sonda.toml."
)
DESTINATION: Final = (
    click.option("--encoder", type=PluginName("encoder"), help="How to render it."),
    click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="PATH=VALUE",
        help="Any other option: encoder.precision=2, sink.timeout=2s, sink.headers.X-Scope-OrgID=a.",
    ),
    click.option(
        "--config",
        type=_PATH,
        envvar="SONDA_CONFIG",
        help="The file with named destinations.  [default: the nearest sonda.toml]",
    ),
)
SERVER: Final = click.option(
    "--server",
    metavar="URL",
    callback=server_url,
    help="Send through this server; its key is SONDA_API_KEY in the environment.",
)
DRY_RUN: Final = click.option(
    "--dry-run", is_flag=True, help="Show what would be sent, byte by byte; nothing is."
)
JSON: Final = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object per event."
)
LABEL: Final = click.option(
    "--label", "labels", multiple=True, metavar="NAME=VALUE", callback=pairs, help="A label."
)
FIELD: Final = click.option(
    "--field", "fields", multiple=True, metavar="NAME=VALUE", callback=pairs, help="A field."
)
TIMESTAMP: Final = click.option(
    "--timestamp", metavar="RFC3339", help="The event's own time.  [default: now]"
)


def with_options(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Give a command several options, in this order."""

    def decorate(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


_SOURCES: Final[Mapping[str, Any]] = {"nargs": -1, "required": True, "type": click.Path()}
EMITTED: Final = click.argument("files", metavar="", **_SOURCES)  # the usage names it already
CHECKED: Final = click.argument("files", metavar=FILES, **_SOURCES)
