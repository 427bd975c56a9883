"""What an operator can set: a flag of `sonda-server` and a variable of the environment each."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from sonda.about import version
from sonda.pipeline.policy.destinations import Rule, parse_rule
from sonda.pipeline.schemas.registry import PLUGINS
from sonda.pipeline.text.escape import cut, escape, quote
from sonda.server.host_check import AllowedHost, parse_allowed_host

LOG_LEVELS: Final = ("critical", "error", "warning", "info", "debug")
LOG_FORMATS: Final = ("console", "json")

T = TypeVar("T")
_TARGETS: Final = frozenset({"address", "brokers", "endpoint", "url"})
_NETWORK_SINKS: Final = tuple(
    name for name, schema in PLUGINS["sink"].items() if _TARGETS & schema["properties"].keys()
)


@dataclass(frozen=True, slots=True)
class Settings:
    """One value per flag, with the contract's defaults; an empty *api_key* turns auth off."""

    bind: str = "127.0.0.1"
    port: int = 8080
    api_key: str = field(default="", repr=False)
    request_timeout_s: float = 30.0
    max_body_bytes: int = 1_048_576
    max_inflight_requests: int = 1024
    workers: int = 1
    log_level: str = "info"
    file_root: Path = field(default_factory=Path.cwd)
    tls_root: Path = Path("/etc/ssl")
    shutdown_timeout_s: float = 10.0
    allow_destination: tuple[Rule, ...] = ()
    allow_host: tuple[AllowedHost, ...] = ()
    log_format: str = "console"


def read_settings(argv: Sequence[str] | None, environ: Mapping[str, str]) -> Settings:
    """Read the flags and, for those not given, the environment; exits with 2 on a bad value.

    A variable that is set but empty counts as not given: Compose files pass those on.
    """
    parser = _parser()
    known, unknown = parser.parse_known_args(argv)
    if unknown:  # argparse would show their values, and one may be the key behind a misspelt flag
        flags = (word.partition("=")[0] if word.startswith("--") else "…" for word in unknown)
        parser.error(f"unrecognized arguments: {escape(cut(' '.join(flags), 200))}")
    given = vars(known)
    for flag in FLAGS:
        text = environ.get(flag.variable, "")
        if text and given[flag.setting] is None:
            try:
                given[flag.setting] = flag.parse(text)
            except argparse.ArgumentTypeError as exc:
                parser.error(f"{flag.variable}: {exc}")
        if flag.repeatable and given[flag.setting] is not None:
            given[flag.setting] = tuple(given[flag.setting])
    return Settings(**{name: value for name, value in given.items() if value is not None})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sonda-server",
        description="Serve POST /events: deliver one log or metric event, and answer once its "
        "destination has acknowledged it.",
        epilog="Each flag can also be given in the environment, --api-key as SONDA_API_KEY; "
        "the flag wins.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"sonda {version()}")
    defaults = Settings()
    for flag in FLAGS:
        default = getattr(defaults, flag.setting)
        parser.add_argument(
            flag.name,
            dest=flag.setting,
            type=flag.parse,
            action="extend" if flag.repeatable else "store",
            metavar=flag.metavar,
            help=f"{flag.help} (default: {default or 'none'})",
        )
    return parser


def _whole(low: int, high: int) -> Callable[[str], int]:
    """Make a reader of integers in a range."""

    def parse(text: str) -> int:
        if not re.fullmatch("[0-9]{1,20}", text) or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"must be a whole number from {low} to {high}")
        return int(text)

    return parse


def _seconds(low: float, high: float) -> Callable[[str], float]:
    """Make a reader of a span in seconds."""

    def parse(text: str) -> float:
        if not re.fullmatch(r"[0-9]{1,20}(\.[0-9]{1,20})?", text) or not low <= float(text) <= high:
            raise argparse.ArgumentTypeError(f"must be seconds from {low:g} to {high:g}")
        return float(text)

    return parse


def _key(text: str) -> str:
    """Check a key without ever quoting it; HTTP strips blanks off a header, so it cannot have any."""
    if re.search(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]", text) or text != text.strip():
        raise argparse.ArgumentTypeError(
            "must be UTF-8 without control characters, and without blanks at its start or end "
            "(the value is not shown)"
        )
    return text


def _host(text: str) -> str:
    if not text.isprintable() or not text.strip():
        raise argparse.ArgumentTypeError("must be an address or a host name")
    return text.strip()


def _one_of(names: Sequence[str]) -> Callable[[str], str]:
    """Make a reader of a name, in any case."""

    def parse(text: str) -> str:
        if text.lower() not in names:
            raise argparse.ArgumentTypeError(f"must be one of {', '.join(names)}")
        return text.lower()

    return parse


def _folder(text: str) -> Path:
    try:
        if Path(text).is_dir():
            return Path(text).absolute()
    except ValueError:  # a NUL in the path
        pass
    raise argparse.ArgumentTypeError("must be a folder that exists")


def _each(what: str, parse: Callable[[str], T]) -> Callable[[str], list[T]]:
    """Make a reader of several values, separated by commas."""

    def parse_all(text: str) -> list[T]:
        values = []
        for item in map(str.strip, text.split(",")):
            try:
                values.append(parse(item))
            except ValueError as exc:
                raise argparse.ArgumentTypeError(
                    f"must be {what}, not {quote(item)}: {exc}"
                ) from None
        return values

    return parse_all


@dataclass(frozen=True, slots=True)
class Flag:
    """How one field of `Settings` is given."""

    setting: str
    metavar: str
    parse: Callable[[str], object]
    help: str
    repeatable: bool = False

    @property
    def name(self) -> str:
        return f"--{self.setting.removesuffix('_s').replace('_', '-')}"

    @property
    def variable(self) -> str:
        return f"SONDA_{self.setting.removesuffix('_s').upper()}"


FLAGS: Final = (
    Flag("bind", "HOST", _host, "address to listen on"),
    Flag("port", "PORT", _whole(0, 65535), "port to listen on; 0 takes a free one and logs it"),
    Flag(
        "api_key",
        "KEY",
        _key,
        "key that callers send as 'Authorization: Bearer KEY'; set it in "
        "the environment to keep it out of the process list",
    ),
    Flag(
        "request_timeout_s",
        "SECONDS",
        _seconds(0.1, 3600),
        "longest that one request may take, its delivery included",
    ),
    Flag("max_body_bytes", "BYTES", _whole(1, 2**30), "largest body"),
    Flag("max_inflight_requests", "N", _whole(1, 1_000_000), "most requests at a time, per worker"),
    Flag("workers", "N", _whole(1, 256), "processes that serve"),
    Flag("log_level", "LEVEL", _one_of(LOG_LEVELS), f"least level to log: {', '.join(LOG_LEVELS)}"),
    Flag(
        "log_format",
        "FORMAT",
        _one_of(LOG_FORMATS),
        f"lines of text or of JSON: {', '.join(LOG_FORMATS)}",
    ),
    Flag("file_root", "DIR", _folder, "the file sink writes, and TLS files are read, below it"),
    Flag("tls_root", "DIR", _folder, "TLS files are read below it, too"),
    Flag(
        "shutdown_timeout_s",
        "SECONDS",
        _seconds(0, 3600),
        "on SIGTERM or SIGINT, how long to wait for the requests in flight",
    ),
    Flag(
        "allow_destination",
        "RULE",
        _each("[SINK=]HOST[:PORT]", partial(parse_rule, sinks=_NETWORK_SINKS)),
        "destinations that may be reached, and no others: [SINK=]HOST[:PORT], where HOST is a name, "
        "*.suffix, *, an IP address or a network; separated by commas, or the flag given again",
        repeatable=True,
    ),
    Flag(
        "allow_host",
        "HOST",
        _each("HOST or HOST:PORT", parse_allowed_host),
        "names that a request's Host may have beside loopback ones, where that is checked: on a "
        "loopback address without a key; separated by commas, or the flag given again",
        repeatable=True,
    ),
)
