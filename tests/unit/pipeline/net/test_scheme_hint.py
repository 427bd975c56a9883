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
    ("scheme", "failed", "connected", "tried"),
    [
        ("http", RESET, True, "https://"),
        ("http", BROKEN, True, "https://"),
        ("http", RESET, False, ""),
        ("http", REFUSED, False, ""),
        ("http", None, True, ""),
        ("https", RESET, True, "http://"),
        ("https", RESET, False, ""),
        ("https", tls_error("WRONG_VERSION_NUMBER"), True, "http://"),
        ("https", tls_error("RECORD_LAYER_FAILURE"), True, "http://"),
        ("https", tls_error("CERTIFICATE_VERIFY_FAILED"), True, ""),
        ("https", TimeoutError(), True, ""),
    ],
)
def test_a_hint(scheme: str, failed: BaseException | None, connected: bool, tried: str) -> None:
    """Only where a connection stood, and the failure is one that the other scheme explains."""
    hint = scheme_hint(scheme, failed, connected=connected)
    assert hint.endswith(f", try {tried}") if tried else hint == ""
