"""`sonda-server`: the HTTP server around the app of `sonda.http`."""

from __future__ import annotations

from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Serve in the calling process until SIGTERM or SIGINT; return the exit status."""
    from sonda.server.supervisor import serve_until_stopped  # imports much that others need not

    return serve_until_stopped(argv)
