"""The command line of the server: a click command whose options are the fields of `Settings`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import click

from sonda.about import version
from sonda.pipeline.policy.destinations import parse_rule
from sonda.pipeline.schemas.registry import PLUGINS
from sonda.server.flag_values import (
    each,
    file,
    folder,
    folder_to_be,
    host,
    one_of,
    parse_key,
    read_secret_file,
    seconds,
    size,
    whole,
    workers,
)
from sonda.server.host_check import parse_allowed_host
from sonda.server.settings import Settings

LOG_LEVELS: Final = ("critical", "error", "warning", "info", "debug")
LOG_FORMATS: Final = ("console", "json")

_TARGETS: Final = frozenset({"address", "brokers", "endpoint", "url"})
_NETWORK_SINKS: Final = tuple(
    name for name, schema in PLUGINS["sink"].items() if _TARGETS & schema["properties"].keys()
)


class _Value(click.ParamType[Any, Any]):
    """A type of option whose text a function reads; that raises `ValueError` with the reason."""

    envvar_list_splitter = "\n"  # the function that reads a text splits it at commas

    def __init__(
        self, metavar: str, parse: Callable[[str], object], choices: Sequence[str] = ()
    ) -> None:
        self.name = metavar
        self._parse = parse
        self._choices = choices

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except ValueError as exc:
            self.fail(str(exc), param, ctx)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        return self.name

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[click.shell_completion.CompletionItem]:
        offered = [choice for choice in self._choices if choice.startswith(incomplete)]
        if self.name in ("DIR", "FILE"):
            return [click.shell_completion.CompletionItem(incomplete, type=self.name.lower())]
        return [click.shell_completion.CompletionItem(choice) for choice in offered]


class _Flag(click.Option):
    """An option that a variable of the environment stands in for, unless it is empty."""

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        environ = ctx.obj if isinstance(ctx.obj, Mapping) else os.environ
        return environ.get(str(self.envvar)) or None


class _Command(click.Command):
    """A command that is the same as `sonda-server` and as `sonda serve`, and quotes no argument."""

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_usage("sonda-server", "[OPTIONS]")

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Refuse arguments without quoting them: one may be the key behind a misspelt flag."""
        rest = super().parse_args(ctx, args)
        if ctx.args and not ctx.resilient_parsing:
            raise click.UsageError("unexpected arguments: there are only flags", ctx)
        return rest


def _flag(
    setting: str, value: _Value, text: str, *, multiple: bool = False, default: str = ""
) -> _Flag:
    """Return the option of one field of `Settings`, `request_timeout_s` being `--request-timeout`."""
    name = setting.removesuffix("_s")
    shown = default or str(getattr(Settings(), setting) or "none")
    return _Flag(
        [f"--{name.replace('_', '-')}", setting],
        type=value,
        multiple=multiple,
        envvar=f"SONDA_{name.upper()}",
        show_envvar=True,
        help=f"{text}  [default: {shown}]",
    )


_NUMBER: Final = partial(_Value, "N")
FLAGS: Final = (
    _flag("bind", _Value("HOST", host), "Address to listen on."),
    _flag(
        "port",
        _Value("PORT", whole(0, 65535)),
        "Port to listen on; 0 takes a free one and logs it.",
    ),
    _flag(
        "api_key",
        _Value("KEY", parse_key),
        "Key that callers send as 'Authorization: Bearer KEY'. Set it in the environment, or name "
        "a file that holds it in SONDA_API_KEY_FILE, to keep it out of the process list.",
    ),
    _flag(
        "request_timeout_s",
        _Value("SECONDS", seconds(0.1, 3600)),
        "Longest that one request may take, its delivery included.",
        default="30",
    ),
    _flag(
        "keep_alive_s",
        _Value("SECONDS", seconds(1, 86_400)),
        "Longest that a client's connection may be idle.",
        default="75",
    ),
    _flag("max_body_bytes", _Value("BYTES", size(1, 2**30)), "Largest body.", default="1MiB"),
    _flag(
        "max_inflight_requests",
        _NUMBER(whole(1, 1_000_000)),
        "Most requests under way at a time, per worker.",
    ),
    _flag(
        "max_inflight_bytes",
        _Value("BYTES", size(1, 2**40)),
        "Most bytes that the bodies of those requests may have together, per worker.",
        default="64MiB",
    ),
    _flag("max_batch_events", _NUMBER(whole(1, 1_000_000)), "Most events of one NDJSON request."),
    _flag(
        "max_batch_bytes",
        _Value("BYTES", size(1, 2**30)),
        "Largest NDJSON body.",
        default="16MiB",
    ),
    _flag(
        "workers",
        _Value("N", workers, ("auto",)),
        "Processes that serve; auto is one for each processor that this process may use.",
    ),
    _flag(
        "log_level",
        _Value("LEVEL", one_of(LOG_LEVELS), LOG_LEVELS),
        f"Least level to log: {', '.join(LOG_LEVELS)}.",
    ),
    _flag(
        "log_format",
        _Value("FORMAT", one_of(LOG_FORMATS), LOG_FORMATS),
        f"Lines of text or of JSON: {', '.join(LOG_FORMATS)}.",
    ),
    _flag(
        "file_root",
        _Value("DIR", folder),
        "The file sink writes, and TLS files are read, below it.",
        default="the current folder",
    ),
    _flag("tls_root", _Value("DIR", folder), "TLS files are read below it, too."),
    _flag(
        "shutdown_timeout_s",
        _Value("SECONDS", seconds(0, 3600)),
        "On SIGTERM, SIGINT or SIGHUP, how long to wait for the requests in flight.",
        default="10",
    ),
    _flag(
        "allow_destination",
        _Value("RULE", each("[SINK=]HOST[:PORT]", partial(parse_rule, sinks=_NETWORK_SINKS))),
        "Destinations that may be reached, and no others: [SINK=]HOST[:PORT], where HOST is a name, "
        "*.suffix, *, an IP address or a network; separated by commas, or the flag given again.",
        multiple=True,
        default="all but those that no event should reach",
    ),
    _flag(
        "allow_host",
        _Value("HOST", each("HOST or HOST:PORT", parse_allowed_host)),
        "Names that a request's Host may have beside loopback ones, where that is checked: on a "
        "loopback address without a key; separated by commas, or the flag given again.",
        multiple=True,
        default="none",
    ),
    _flag(
        "config",
        _Value("FILE", file),
        "TOML file with named destinations and keys; SIGHUP reads it again.",
    ),
    _flag(
        "state_dir",
        _Value("DIR", folder_to_be),
        "Folder on a local disk, made if it is missing, for idempotency keys and scenarios.",
        default="a private folder that goes with the server",
    ),
    _flag(
        "idempotency_ttl_s",
        _Value("DURATION", seconds(1, 365 * 86_400)),
        "How long an Idempotency-Key is kept.",
        default="24h",
    ),
    _flag(
        "idempotency_keys", _NUMBER(whole(1, 100_000_000)), "Most Idempotency-Keys that are kept."
    ),
    _flag("max_scenarios", _NUMBER(whole(0, 100_000)), "Most scenarios that run at a time."),
    _flag("max_rate", _NUMBER(whole(1, 10_000_000)), "Most events a second of all scenarios."),
    _flag("keep_scenarios", _NUMBER(whole(0, 1_000_000)), "Most ended scenarios that are kept."),
)


def settings_of(ctx: click.Context, given: Mapping[str, Any]) -> Settings:
    """Return the settings that flags, variables and secret files come to."""
    values = {name: value for name, value in given.items() if value not in (None, ())}
    for name in ("allow_destination", "allow_host"):
        if name in values:
            values[name] = tuple(item for items in values[name] for item in items)
    environ = ctx.obj if isinstance(ctx.obj, Mapping) else os.environ
    if key_file := environ.get("SONDA_API_KEY_FILE", ""):
        if given["api_key"] is not None:
            both = "give --api-key (SONDA_API_KEY) or SONDA_API_KEY_FILE, not both"
            raise click.UsageError(both, ctx)
        try:
            values |= {"api_key": read_secret_file(Path(key_file)), "api_key_file": Path(key_file)}
        except ValueError as exc:
            raise click.UsageError(f"SONDA_API_KEY_FILE: {exc}", ctx) from None
    return Settings(**values)


def make_command(action: Callable[[Settings], Any]) -> click.Command:
    """Return the command that calls *action* with the settings it has read."""

    @click.pass_context
    def callback(ctx: click.Context, /, **given: Any) -> Any:
        return action(settings_of(ctx, given))

    return _Command(
        "serve",
        callback=callback,
        params=[*FLAGS, _version_option()],
        context_settings={
            "help_option_names": ["-h", "--help"],
            "max_content_width": 100,
            "allow_extra_args": True,
        },
        help="Serve POST /events: deliver one log or metric event, and answer once its destination "
        "has acknowledged it.",
        short_help="Run sonda-server.",
        epilog="A flag wins over its variable, and an empty variable counts as not given.",
    )


def _version_option() -> click.Parameter:
    @click.version_option(version(), message="sonda %(version)s")
    def versioned() -> None:
        """Carry the option."""

    parameters: list[click.Parameter] = versioned.__click_params__  # type: ignore[attr-defined]
    return parameters[0]
