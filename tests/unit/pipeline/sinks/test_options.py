"""Who logs in is shown, the password is not."""

from __future__ import annotations

from sonda.pipeline.sinks.options import Sasl


def test_the_password_is_hidden() -> None:
    """Options end up in tracebacks and in notebooks."""
    shown = repr(Sasl(mechanism="PLAIN", username="me", password="s3cret"))
    assert "me" in shown
    assert "s3cret" not in shown
