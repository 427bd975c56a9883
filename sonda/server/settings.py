"""What an operator can set: a flag of `sonda-server` and a variable of the environment each.

`flags.py` has the click command that reads them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sonda.pipeline.policy.destinations import Rule
from sonda.server.host_check import AllowedHost

MIB: Final = 1024 * 1024
_DELETED_FOLDER: Final = Path("/proc/self/cwd")


def current_folder() -> Path:
    """Return the current folder; where it was deleted, a path below which nothing can be made."""
    try:
        return Path.cwd()
    except OSError:
        return _DELETED_FOLDER


@dataclass(frozen=True, slots=True)
class Settings:
    """One value per flag, with the contract's defaults; an empty *api_key* turns auth off."""

    bind: str = "127.0.0.1"
    port: int = 8080
    api_key: str = field(default="", repr=False)
    request_timeout_s: float = 30.0
    max_body_bytes: int = MIB
    max_inflight_requests: int = 1024
    workers: int = 1
    log_level: str = "info"
    file_root: Path = field(default_factory=current_folder)
    tls_root: Path = Path("/etc/ssl")
    shutdown_timeout_s: float = 10.0
    allow_destination: tuple[Rule, ...] = ()
    allow_host: tuple[AllowedHost, ...] = ()
    log_format: str = "console"
    keep_alive_s: float = 75.0
    max_inflight_bytes: int = 64 * MIB
    max_batch_events: int = 10_000
    max_batch_bytes: int = 16 * MIB
    idempotency_ttl_s: float = 86_400.0
    idempotency_keys: int = 100_000
    max_scenarios: int = 100
    max_rate: int = 100_000
    keep_scenarios: int = 1000
    config: Path | None = None
    state_dir: Path | None = None
    api_key_file: Path | None = None
    """Where *api_key* was read from, so that it can be read again."""


def read_settings(argv: Sequence[str] | None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the flags and, for those not given, the environment; raise `SystemExit(2)` on a mistake.

    A variable that is set but empty counts as not given: Compose files pass those on. `--help`,
    `--version` and a shell's completion raise `SystemExit(0)`.
    """
    import click

    from sonda.server.flags import make_command

    arguments = None if argv is None else list(argv)
    command = make_command(lambda settings: settings)
    try:
        settings = command.main(arguments, "sonda-server", obj=environ, standalone_mode=False)
    except click.ClickException as exc:
        exc.show()
        raise SystemExit(exc.exit_code) from None
    if not isinstance(settings, Settings):  # click has printed what was asked for
        raise SystemExit(settings)
    return settings
