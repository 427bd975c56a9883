"""The options of the commands; each is also a variable, `SONDA_<OPTION>`, unless the flag is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from click.core import ParameterSource

from sonda.cli import params

CONCURRENCY: Final = 32  # as in `sonda.library`, which help need not load

F = TypeVar("F", bound=Callable[..., Any])


class Option(click.Option):
    """An option that is also `SONDA_<OPTION>`; what may be repeated is separated by commas there."""

    def __init__(self, *args: Any, **extra: Any) -> None:
        super().__init__(*args, **extra)
        long = max(self.opts, key=len)
        self.envvar = "SONDA_" + long.lstrip("-").replace("-", "_").upper()

    def value_from_envvar(self, ctx: click.Context) -> Any:
        value = self.resolve_envvar_value(ctx)
        if value is None or not self.multiple:
            return super().value_from_envvar(ctx)
        split = getattr(self.type, "split", params.split_at_commas)
        return split(value)

    def get_error_hint(self, ctx: click.Context | None) -> str:
        if ctx is not None and self.name is not None:
            source = ctx.get_parameter_source(self.name)
            if source is ParameterSource.ENVIRONMENT:
                return str(self.envvar)
        return super().get_error_hint(ctx)


def option(*names: str, **extra: Any) -> Callable[[F], F]:
    """Return the decorator of an option that is also a variable of the environment."""
    return click.option(*names, cls=Option, **extra)


_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)

TO: Final = option(
    "--to",
    type=params.To(),
    multiple=True,
    help="Where to: loki=http://loki:3100, stdout, or a name of sonda.toml. Several times: each gets it.",
)
CONFIG: Final = option(
    "--config",
    type=_FILE,
    help="The file with named destinations.  [default: the nearest sonda.toml]",
)
HOW: Final = (
    option("--encoder", type=params.PluginName("encoder"), help="How to render it."),
    option(
        "--set",
        "settings",
        multiple=True,
        metavar="PATH=VALUE",
        help="Any other option: encoder.precision=2, sink.expect.status=[200], sink.headers.X-Scope-OrgID=a.",
    ),
    option("--retry", type=click.IntRange(1), metavar="N", help="Retry up to N times."),
    option(
        "--timeout",
        metavar="DURATION",
        callback=params.duration,
        help="The deadline of a delivery, retries included, such as 5s.  [default: 10s]",
    ),
    option("--ca-cert", type=_FILE, help="Trust these certificate authorities (PEM), too."),
    CONFIG,
)
VERIFY: Final = option(
    "--verify",
    metavar="DURATION",
    callback=params.duration,
    help="Read the event back for up to this long, such as 5s; the status is 4 if it is not seen.",
)
VERIFY_URL: Final = option(
    "--verify-url",
    metavar="URL",
    help="Read it back from here, where reading has another base URL.  [--verify: 5s]",
)
SERVER: Final = option(
    "--server",
    metavar="URL",
    callback=params.server_url,
    help="Send through this server; its key is SONDA_API_KEY in the environment.",
)
PROXY: Final = option(
    "--proxy-from-env",
    is_flag=True,
    help="Follow HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY.",
)
DRY_RUN: Final = option(
    "--dry-run", is_flag=True, help="Show what would be sent, byte by byte; nothing is."
)
JSON: Final = option("--json", "as_json", is_flag=True, help="Print one JSON object per event.")
QUIET: Final = option(
    "-q", "--quiet", is_flag=True, help="Print nothing about events that were delivered."
)
OUTPUT: Final = (DRY_RUN, JSON, QUIET)
SEVERITY: Final = option(
    "-s",
    "--severity",
    type=params.SeverityName(),
    default="info",
    show_default=True,
)
LABEL: Final = option(
    "-l",
    "--label",
    "labels",
    multiple=True,
    metavar="NAME=VALUE",
    callback=params.pairs,
    help="A label.",
)
FIELD: Final = option(
    "-f",
    "--field",
    "fields",
    multiple=True,
    metavar="NAME=VALUE",
    callback=params.pairs,
    help="A field.",
)
TIMESTAMP: Final = option(
    "--timestamp", metavar="RFC3339", help="The event's own time.  [default: now]"
)
FAILED: Final = option(
    "--failed",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the events that may be sent again to this file; what is not valid goes to FILE.invalid.",
)
IN_FLIGHT: Final = option(
    "--concurrency",
    type=click.IntRange(1, 1000),
    default=CONCURRENCY,
    show_default=True,
    help="Events on their way at a time; with 1 each is confirmed before the next one leaves. "
    "Unless it is changed, a --server gets up to 1,000 in one request.",
)

_SOURCES: Final[dict[str, Any]] = {"nargs": -1, "type": click.Path()}
EMITTED: Final = click.argument("files", metavar="", **_SOURCES)  # the usage names it already
CHECKED: Final = click.argument("files", metavar=params.FILES, **_SOURCES)


def was_typed(name: str, values: Sequence[object] | object) -> bool:
    """Return whether an option was given as a flag, not by the environment or a default."""
    if values is None or values == ():
        return False
    source = click.get_current_context().get_parameter_source(name)
    return source is ParameterSource.COMMANDLINE
