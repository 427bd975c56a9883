"""Which scheme to try where a server seems to speak the other one."""

from __future__ import annotations

import ssl

import pytest

from sonda.pipeline.net.scheme_hint import scheme_hint

RESET, BROKEN, REFUSED = ConnectionResetError(), BrokenPipeError(), ConnectionRefusedError()


def tls_error(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, reason)
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("scheme", "failed", "connected", "has_received", "tried"),
    [
        ("http", RESET, True, False, "https://"),
        ("http", BROKEN, True, False, "https://"),
        ("http", RESET, False, False, ""),
        ("http", REFUSED, False, False, ""),
        ("http", None, True, False, ""),
        ("https", RESET, True, False, "http://"),
        ("https", RESET, False, False, ""),
        ("https", tls_error("WRONG_VERSION_NUMBER"), True, False, "http://"),
        ("https", tls_error("RECORD_LAYER_FAILURE"), True, False, "http://"),
        ("https", tls_error("CERTIFICATE_VERIFY_FAILED"), True, False, ""),
        ("https", TimeoutError(), True, False, ""),
        ("https", tls_error("UNEXPECTED_EOF_WHILE_READING"), True, False, "http://"),
        ("http", RESET, True, True, ""),
        ("http", BROKEN, True, True, ""),
        ("https", RESET, True, True, ""),
        ("https", tls_error("UNEXPECTED_EOF_WHILE_READING"), True, True, ""),
        ("https", tls_error("TLSV1_ALERT_PROTOCOL_VERSION"), True, True, ""),
        ("https", tls_error("WRONG_VERSION_NUMBER"), True, True, "http://"),
    ],
)
def test_a_hint(
    scheme: str, failed: BaseException | None, connected: bool, has_received: bool, tried: str
) -> None:
    """Only where a connection stood, and the failure is one that the other scheme explains."""
    hint = scheme_hint(scheme, failed, connected=connected, has_received=has_received)
    assert hint.endswith(f", try {tried}") if tried else hint == ""
