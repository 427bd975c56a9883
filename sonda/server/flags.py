"""The command line of the server: a click command whose options are the fields of `Settings`."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import click

from sonda.about import version
from sonda.pipeline.policy.destinations import parse_rule
from sonda.pipeline.schemas.registry import PLUGINS
from sonda.pipeline.text.escape import quote
from sonda.server.host_check import parse_allowed_host
from sonda.server.processors import available_processors
from sonda.server.settings import Settings

LOG_LEVELS: Final = ("critical", "error", "warning", "info", "debug")
LOG_FORMATS: Final = ("console", "json")

_TARGETS: Final = frozenset({"address", "brokers", "endpoint", "url"})
_NETWORK_SINKS: Final = tuple(
    name for name, schema in PLUGINS["sink"].items() if _TARGETS & schema["properties"].keys()
)
_UNITS_BYTES: Final = {"": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_UNITS_S: Final = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_LARGEST_SECRET_BYTES: Final = 65536


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


def _whole(low: int, high: int) -> Callable[[str], int]:
    """Return a reader of integers in a range."""

    def parse(text: str) -> int:
        if not re.fullmatch("[0-9]{1,20}", text) or not low <= int(text) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(text)

    return parse


def _size(low: int, high: int) -> Callable[[str], int]:
    """Return a reader of sizes in bytes, such as `65536` or `64MiB`."""

    def parse(text: str) -> int:
        match = re.fullmatch("([0-9]{1,20})(|KiB|MiB|GiB)", text)
        size_bytes = int(match[1]) * _UNITS_BYTES[match[2]] if match else -1
        if not low <= size_bytes <= high:
            raise ValueError(f"must be bytes from {low} to {high}, such as 65536 or 64MiB")
        return size_bytes

    return parse


def _seconds(low: float, high: float) -> Callable[[str], float]:
    """Return a reader of durations, such as `90`, which are seconds, or `24h`."""

    def parse(text: str) -> float:
        match = re.fullmatch(r"([0-9]{1,20}(?:\.[0-9]{1,20})?)(|ms|s|m|h)", text)
        span_s = float(match[1]) * _UNITS_S[match[2]] if match else -1.0
        if not low <= span_s <= high:
            raise ValueError(f"must be seconds from {low:g} to {high:g}, or a duration such as 5m")
        return span_s

    return parse


def _workers(text: str) -> int:
    if text == "auto":
        return min(available_processors(), _MAX_WORKERS)
    try:
        return _whole(1, _MAX_WORKERS)(text)
    except ValueError as exc:
        raise ValueError(f"{exc}, or auto") from None


_MAX_WORKERS: Final = 256


def parse_key(text: str) -> str:
    """Check a key and return it; raise `ValueError` without quoting it.

    HTTP strips blanks off a header's value, so a key cannot begin or end with one.
    """
    if re.search(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]", text) or text != text.strip():
        raise ValueError(
            "must be UTF-8 without control characters, and without blanks at its start or end "
            "(the value is not shown)"
        )
    return text


def read_secret_file(path: Path) -> str:
    """Return the key that a file holds, less a final line feed.

    Raise `ValueError` where it cannot be read, is empty, or is no key.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(_LARGEST_SECRET_BYTES + 1)
    except (OSError, ValueError) as exc:
        words = getattr(exc, "strerror", None) or str(exc)
        raise ValueError(f"the file {quote(str(path))} cannot be read: {words}") from None
    if len(raw) > _LARGEST_SECRET_BYTES:
        raise ValueError(f"the file {quote(str(path))} is over {_LARGEST_SECRET_BYTES} bytes")
    text = raw.decode(errors="surrogateescape").removesuffix("\n").removesuffix("\r")
    if not text:
        raise ValueError(f"the file {quote(str(path))} is empty")
    return parse_key(text)


def _host(text: str) -> str:
    if not text.isprintable() or not text.strip():
        raise ValueError("must be an address or a host name")
    return text.strip()


def _one_of(names: Sequence[str]) -> Callable[[str], str]:
    """Return a reader of a name, in any case."""

    def parse(text: str) -> str:
        if text.lower() not in names:
            raise ValueError(f"must be one of {', '.join(names)}")
        return text.lower()

    return parse


def _folder(text: str) -> Path:
    try:
        if Path(text).is_dir():
            return Path(text).absolute()
    except (OSError, ValueError):  # a NUL in the path, or no current folder
        pass
    raise ValueError("must be a folder that exists")


def _file(text: str) -> Path:
    try:
        if Path(text).is_file():
            return Path(text).absolute()
    except (OSError, ValueError):
        pass
    raise ValueError("must be a file that exists")


def _each(what: str, parse: Callable[[str], object]) -> Callable[[str], list[object]]:
    """Return a reader of several values, separated by commas."""

    def parse_all(text: str) -> list[object]:
        values = []
        for item in map(str.strip, text.split(",")):
            try:
                values.append(parse(item))
            except ValueError as exc:
                raise ValueError(f"must be {what}, not {quote(item)}: {exc}") from None
        return values

    return parse_all


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
    _flag("bind", _Value("HOST", _host), "Address to listen on."),
    _flag(
        "port",
        _Value("PORT", _whole(0, 65535)),
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
        _Value("SECONDS", _seconds(0.1, 3600)),
        "Longest that one request may take, its delivery included.",
        default="30",
    ),
    _flag(
        "keep_alive_s",
        _Value("SECONDS", _seconds(1, 86_400)),
        "Longest that a client's connection may be idle.",
        default="75",
    ),
    _flag("max_body_bytes", _Value("BYTES", _size(1, 2**30)), "Largest body.", default="1MiB"),
    _flag(
        "max_inflight_requests",
        _NUMBER(_whole(1, 1_000_000)),
        "Most requests under way at a time, per worker.",
    ),
    _flag(
        "max_inflight_bytes",
        _Value("BYTES", _size(1, 2**40)),
        "Most bytes that the bodies of those requests may have together, per worker.",
        default="64MiB",
    ),
    _flag("max_batch_events", _NUMBER(_whole(1, 1_000_000)), "Most events of one NDJSON request."),
    _flag(
        "max_batch_bytes",
        _Value("BYTES", _size(1, 2**30)),
        "Largest NDJSON body.",
        default="16MiB",
    ),
    _flag(
        "workers",
        _Value("N", _workers, ("auto",)),
        "Processes that serve; auto is one for each processor that this process may use.",
    ),
    _flag(
        "log_level",
        _Value("LEVEL", _one_of(LOG_LEVELS), LOG_LEVELS),
        f"Least level to log: {', '.join(LOG_LEVELS)}.",
    ),
    _flag(
        "log_format",
        _Value("FORMAT", _one_of(LOG_FORMATS), LOG_FORMATS),
        f"Lines of text or of JSON: {', '.join(LOG_FORMATS)}.",
    ),
    _flag(
        "file_root",
        _Value("DIR", _folder),
        "The file sink writes, and TLS files are read, below it.",
        default="the current folder",
    ),
    _flag("tls_root", _Value("DIR", _folder), "TLS files are read below it, too."),
    _flag(
        "shutdown_timeout_s",
        _Value("SECONDS", _seconds(0, 3600)),
        "On SIGTERM, SIGINT or SIGHUP, how long to wait for the requests in flight.",
        default="10",
    ),
    _flag(
        "allow_destination",
        _Value("RULE", _each("[SINK=]HOST[:PORT]", partial(parse_rule, sinks=_NETWORK_SINKS))),
        "Destinations that may be reached, and no others: [SINK=]HOST[:PORT], where HOST is a name, "
        "*.suffix, *, an IP address or a network; separated by commas, or the flag given again.",
        multiple=True,
        default="all but those that no event should reach",
    ),
    _flag(
        "allow_host",
        _Value("HOST", _each("HOST or HOST:PORT", parse_allowed_host)),
        "Names that a request's Host may have beside loopback ones, where that is checked: on a "
        "loopback address without a key; separated by commas, or the flag given again.",
        multiple=True,
        default="none",
    ),
    _flag(
        "config",
        _Value("FILE", _file),
        "TOML file with named destinations and keys; SIGHUP reads it again.",
    ),
    _flag(
        "state_dir",
        _Value("DIR", _folder),
        "Folder on a local disk for idempotency keys and scenarios.",
        default="a private folder that goes with the server",
    ),
    _flag(
        "idempotency_ttl_s",
        _Value("DURATION", _seconds(1, 365 * 86_400)),
        "How long an Idempotency-Key is kept.",
        default="24h",
    ),
    _flag(
        "idempotency_keys", _NUMBER(_whole(1, 100_000_000)), "Most Idempotency-Keys that are kept."
    ),
    _flag("max_scenarios", _NUMBER(_whole(0, 100_000)), "Most scenarios that run at a time."),
    _flag("max_rate", _NUMBER(_whole(1, 10_000_000)), "Most events a second of all scenarios."),
    _flag("keep_scenarios", _NUMBER(_whole(0, 1_000_000)), "Most ended scenarios that are kept."),
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
