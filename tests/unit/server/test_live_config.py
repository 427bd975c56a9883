"""A reload puts everything in force, or nothing; it never turns authentication off."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from sonda.server.config import load_config
from sonda.server.live_config import LiveConfig
from sonda.server.settings import Settings

FIRST = """
[destinations.prod]
sink = {type = "stdout"}
[keys.me]
key = "first-key"
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A server with a configuration file."""
    file = tmp_path / "sonda.toml"
    file.write_text(FIRST)
    return Settings(config=file, file_root=tmp_path)


def write(settings: Settings, text: str) -> None:
    assert settings.config is not None
    settings.config.write_text(text)


def test_everything_is_read_again(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    """Destinations and keys are those of the file, and the log says how many."""
    live = LiveConfig(load_config(settings))
    assert [key.value for key in live.keys()] == ["first-key"]  # noqa: SIM118  # no mapping
    write(settings, FIRST.replace("first", "second") + '[destinations.b]\nsink={type="stdout"}\n')
    with caplog.at_level(logging.INFO, "sonda"):
        source = live.reload(settings)
    assert source is not None
    assert sorted(live.destinations()) == ["b", "prod"]
    assert [key.value for key in live.keys()] == ["second-key"]  # noqa: SIM118  # no mapping
    assert "second-key" in live.secrets()
    assert caplog.messages == ["the configuration was read again: 2 destinations, 1 keys"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[destinations.prod]\nsink = 1\n", "destinations.prod: expected sink"),
        ("[keys.me]\nkey = 'env:NOT_SET_ANYWHERE'\n", "NOT_SET_ANYWHERE"),
        ("nonsense", "sonda.toml"),
        ("", "no key is left, which would let anybody call"),
    ],
)
def test_a_fault_changes_nothing(
    settings: Settings, text: str, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What is in force stays, as a whole, and each fault is logged."""
    live = LiveConfig(load_config(settings))
    before = live.current
    write(settings, text)
    assert live.reload(settings) is None
    assert live.current is before
    assert caplog.messages
    assert all(one.startswith("the configuration stays as it was: ") for one in caplog.messages)
    assert fault in caplog.text


def test_without_a_key_before_none_is_needed(settings: Settings) -> None:
    """A server that has let anybody call goes on so."""
    write(settings, "")
    live = LiveConfig(load_config(settings))
    write(settings, '[destinations.b]\nsink={type="stdout"}\n')
    assert live.reload(settings) is not None
    assert sorted(live.destinations()) == ["b"]


def test_what_another_process_has_read(settings: Settings) -> None:
    """It makes the same configuration of it, without reading a file."""
    live, other = LiveConfig(load_config(settings)), LiveConfig()
    source = live.reload(settings)
    assert source is not None
    assert settings.config is not None
    settings.config.unlink()
    other.apply(source)
    assert other.keys() == live.keys()
    assert other.destinations() == live.destinations()
    assert settings.config in other.files()


def test_a_server_without_a_file() -> None:
    """The key of the flag is its only one."""
    live = LiveConfig(load_config(replace(Settings(), api_key="k")))
    assert [key.value for key in live.keys()] == ["k"]  # noqa: SIM118  # no mapping
    assert dict(live.destinations()) == {}
