"""`sonda-server`: the HTTP server around the app of `sonda.http`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import click

    from sonda.server.settings import Settings


def main(argv: Sequence[str] | None = None) -> int:
    """Serve in the calling process until SIGTERM, SIGINT or SIGHUP; return the exit status."""
    from sonda.server.settings import read_settings

    return serve(read_settings(argv))


def serve(settings: Settings) -> int:
    """Serve as *settings* say until SIGTERM, SIGINT or SIGHUP; return the exit status."""
    from sonda.server.startup import open_standard_descriptors, stopping_early

    open_standard_descriptors()
    with stopping_early(reloads=settings.config is not None):
        from sonda.server.serving import serve_until_stopped  # imports much that help need not

        return serve_until_stopped(settings)


def serve_command() -> click.Command:
    """Return the command `serve` of `sonda`, which is `sonda-server`."""
    from sonda.server.flags import make_command

    def run(settings: Settings) -> None:
        raise SystemExit(serve(settings))

    return make_command(run)
