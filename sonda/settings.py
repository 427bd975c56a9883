"""What an operator can set: the flags of `sonda-server`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


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
