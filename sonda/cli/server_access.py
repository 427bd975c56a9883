"""How the command line gets at a server: whom it trusts, and the key that it shows."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

import click

from sonda.config import resolve
from sonda.pipeline.schemas.formats import header_value


def read_api_key() -> str:
    """Return the server's key: `SONDA_API_KEY`, or what the file holds that `SONDA_API_KEY_FILE` names.

    Raise click's `UsageError` where both are given, the file cannot be read, or it is no key.
    """
    key, path = (os.environ.get(f"SONDA_API_KEY{end}", "") for end in ("", "_FILE"))
    if path:
        if key:
            raise click.UsageError("give SONDA_API_KEY or SONDA_API_KEY_FILE, not both")
        try:
            key = resolve(f"file:{path}", {}, Path()) or ""
        except ValueError as exc:
            raise click.UsageError(f"SONDA_API_KEY_FILE: {exc}") from None
    try:
        header_value(key)
    except ValueError as exc:
        raise click.UsageError(f"SONDA_API_KEY: {exc}") from None
    return key


def bearer(api_key: str) -> dict[str, str]:
    """Return the headers that show a key; none where it is empty."""
    return {"Authorization": f"Bearer {api_key}"} if api_key else {}


def trusted_context(ca_cert: Path | None) -> ssl.SSLContext:
    """Return a context that trusts the system's authorities, `SSL_CERT_FILE` and *ca_cert*."""
    context = ssl.create_default_context()
    if ca_cert is not None:
        context.load_verify_locations(ca_cert)
    return context
