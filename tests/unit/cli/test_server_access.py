"""The key that the command line shows to a server."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from sonda.cli.server_access import bearer, read_api_key


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("SONDA_API_KEY", "SONDA_API_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_without_a_key() -> None:
    """No header is sent."""
    assert read_api_key() == ""
    assert bearer("") == {}


def test_a_key_in_the_environment(environment: pytest.MonkeyPatch) -> None:
    """It is shown as it is."""
    environment.setenv("SONDA_API_KEY", "k 1")
    assert read_api_key() == "k 1"
    assert bearer("k 1") == {"Authorization": "Bearer k 1"}


def test_a_key_in_a_file(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without the line feed at its end."""
    (tmp_path / "key").write_text("secret\n")
    environment.setenv("SONDA_API_KEY_FILE", str(tmp_path / "key"))
    assert read_api_key() == "secret"


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"SONDA_API_KEY": "a", "SONDA_API_KEY_FILE": "b"}, "not both"),
        ({"SONDA_API_KEY_FILE": "/nowhere/key"}, "SONDA_API_KEY_FILE: "),
        ({"SONDA_API_KEY": "a\nb"}, "SONDA_API_KEY: "),
    ],
)
def test_what_is_no_key(
    environment: pytest.MonkeyPatch, variables: dict[str, str], reason: str
) -> None:
    """A mistake ends the command before anything is sent."""
    for name, value in variables.items():
        environment.setenv(name, value)
    with pytest.raises(click.UsageError, match=reason):
        read_api_key()
