"""Which scheme to try where a server seems to speak the other one: TLS, or plain HTTP."""

from __future__ import annotations

import ssl
from typing import Final

_NOT_TLS: Final = frozenset(
    {"WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"}
    | {"RECORD_LAYER_FAILURE"}
)
_PEER_CLOSED: Final = "UNEXPECTED_EOF_WHILE_READING"
_TRY_HTTP: Final = "; if it speaks plain HTTP, try http://"
_TRY_HTTPS: Final = "; if it speaks TLS, try https://"


def scheme_hint(
    scheme: str, failed: BaseException | None, *, connected: bool, has_received: bool
) -> str:
    """Return what to add to the reason of a failure; empty where the scheme is not to blame.

    A server that expects TLS resets a plain request, or closes; one that does not answers a
    handshake in plain text, or resets it. *connected* is true once TCP had a connection. What was
    received on it before it broke was in the right scheme, or it would have failed otherwise.
    """
    was_reset = (
        connected
        and not has_received
        and isinstance(failed, ConnectionResetError | BrokenPipeError)
    )
    if scheme == "http":
        return _TRY_HTTPS if was_reset else ""
    tls_reason = failed.reason if isinstance(failed, ssl.SSLError) else None
    peer_closed = tls_reason == _PEER_CLOSED and not has_received
    return _TRY_HTTP if was_reset or peer_closed or tls_reason in _NOT_TLS else ""
