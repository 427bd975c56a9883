"""The kinds of arguments and options, how each is read, and how a shell completes it."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, TypeVar, get_args

import click

from sonda.pipeline.model import Severity

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

SEVERITIES: Final = (*get_args(Severity), "warning")
SchemaKind: TypeAlias = Literal["encoder", "sink", "generator", "log_generator", "scenario"]
SCHEMA_KINDS: Final = get_args(SchemaKind)
FILES: Final = "FILE…"  # what stands for `log` or `metric`; help and usage show it so

_BEGINS_DESTINATION: Final = re.compile(r"\s*[A-Za-z][\w.-]*\s*(?:=|\Z)")
_NUMBER: Final = re.compile(r"-[0-9.][0-9.eE+-]*")
_NAME_AND_VALUE: Final = re.compile(
    r"\s*([a-zA-Z_:][a-zA-Z0-9_:]*)\s*[=\s]\s*([+-]?[0-9.][0-9.eE+-]*)\s*"
)
_LABEL: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*=[\w.:/-]{0,64}")


F = TypeVar("F", bound=Callable[..., Any])


class SeverityName(click.Choice[str]):
    """A severity; where another word for one is written, the error says which was meant."""

    def __init__(self) -> None:
        super().__init__(SEVERITIES)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the severity; fail with click's words, and the remedy in brackets."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as exc:
            from sonda.pipeline.schemas.registry import REQUEST
            from sonda.pipeline.schemas.remedies import did_you_mean

            facts = REQUEST["$defs"]["log"]["properties"]["severity"]
            synonyms = {**facts.get("x-aliases", {}), **facts["x-synonyms"]}
            remedy = did_you_mean(str(value), get_args(Severity), synonyms)
            self.fail(f"{exc.message.removesuffix('.')}{remedy}", param, ctx)


class To(click.ParamType[str, str]):
    """A sink with its target, or a named destination."""

    name = "SINK=TARGET|NAME"

    def split(self, text: str) -> list[str]:
        """Split a list at its commas, but for those between the brokers of Kafka.

        Only a name, or a name before an equals sign, begins another destination.
        """
        found: list[str] = []
        for part in text.split(","):
            if not found or _BEGINS_DESTINATION.match(part):
                found.append(part.strip())
            else:
                found[-1] += f",{part}"
        return [part for part in found if part]

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[Any]]:
        """Complete sinks, an equals sign behind those that need a target, and named destinations."""
        from click.shell_completion import CompletionItem

        from sonda.cli.aliases import EXAMPLES
        from sonda.cli.config_file import known_destinations
        from sonda.cli.destinations import example, target
        from sonda.pipeline.schemas.registry import PLUGINS

        named = known_destinations(ctx.params.get("config"))
        items = [CompletionItem(name, help=target(named[name].sink)) for name in sorted(named)]
        for name in (*PLUGINS["sink"], *EXAMPLES):
            shown = EXAMPLES.get(name) or example(name)
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
        from click.shell_completion import CompletionItem

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
            equals = isinstance(value, str) and value.startswith("=")
            remedy = " (name and value are two arguments, as in: up 1)" if equals else ""
            self.fail(f"{value!r} is not a number{remedy}", param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number", param, ctx)
        return number


def missing_destination() -> click.MissingParameter:
    """Return the error of a command whose `--to` is missing, with an example of one."""
    example = "Name a destination, as in --to loki=http://localhost:3100"
    return click.MissingParameter(example, param_hint="'--to'", param_type="option")


class _OneEventCommand(click.Command):
    """Refuses superfluous words with what was most likely meant."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.allow_extra_args = True
        rest = super().parse_args(ctx, args)
        if rest and not ctx.resilient_parsing:
            some = "arguments" if len(rest) > 1 else "argument"
            ctx.fail(f"Got unexpected extra {some} ({' '.join(rest)}){self.remedy(rest)}")
        return rest

    def remedy(self, rest: Sequence[str]) -> str:
        """Return the remedy for superfluous words, in brackets, or nothing."""
        if _LABEL.fullmatch(rest[0]):
            return f" (a label is an option: --label {rest[0]})"
        return ""


class MetricCommand(_OneEventCommand):
    """Takes `-5` for a value, not for an option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--" not in args:
            numbers = [arg for arg in args if _NUMBER.fullmatch(arg)]
            args = [arg for arg in args if arg not in numbers]
            args += ["--", *numbers] if numbers else []
        try:
            return super().parse_args(ctx, args)
        except click.MissingParameter as exc:
            joined = _NAME_AND_VALUE.fullmatch(str(ctx.params.get("name", "")))
            if not joined or exc.param is None or exc.param.name != "value":
                raise
            remedy = f"Name and value are two arguments: {joined[1]} {joined[2]}"
            raise click.MissingParameter(remedy, ctx, exc.param) from None


class MessageCommand(_OneEventCommand):
    """Shows its help where nothing was typed and no message comes by standard input."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        self.no_args_is_help = reads_terminal()
        return super().parse_args(ctx, args)

    def remedy(self, rest: Sequence[str]) -> str:
        return super().remedy(rest) or ' (quote a message of several words: "Deploy started")'


class EmitGroup(click.Group):
    """`emit log`, `emit metric`, and `emit FILE …` for whatever else comes first."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        self.no_args_is_help = reads_terminal() or ctx.resilient_parsing  # so completion asks
        given = args or not self.no_args_is_help
        if given and args[:1] not in [[name] for name in (*self.commands, "-h", "--help")]:
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
        from click.shell_completion import CompletionItem

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


def reads_terminal() -> bool:
    """Return whether standard input is a terminal, so that nothing is waiting there."""
    return sys.stdin is not None and not sys.stdin.closed and sys.stdin.isatty()


def split_at_commas(text: str) -> list[str]:
    """Split the value of a variable for an option that may be repeated."""
    return [part.strip() for part in text.split(",") if part.strip()]


def duration(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Check a duration, which must be above zero."""
    from sonda.pipeline.values.durations import seconds

    if value is None or ctx.resilient_parsing:
        return value
    try:
        if seconds(value) <= 0:
            raise ValueError("must be above zero")  # noqa: TRY301  # the other reason is raised, too
    except ValueError as exc:
        raise click.BadParameter(f"{value!r}: {exc}", ctx, param) from None
    return value


def pairs(ctx: click.Context, param: click.Parameter, values: Sequence[str]) -> Mapping[str, str]:
    """Return a mapping of `NAME=VALUE` texts, each name once."""
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


def with_options(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Return a decorator that gives a command several options, in this order."""

    def decorate(command: F) -> F:
        for one in reversed(options):
            command = one(command)
        return command

    return decorate
