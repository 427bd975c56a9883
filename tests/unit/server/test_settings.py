"""Flags, variables and secret files become settings; what is wrong ends the start with status 2."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from sonda.server.flags import FLAGS
from sonda.server.settings import Settings, current_folder, read_settings


def test_nothing_given_is_the_contract() -> None:
    """The defaults that the contract names; a variable that is empty counts as not given."""
    found = read_settings([], {"SONDA_PORT": "", "SONDA_API_KEY": "", "SONDA_CONFIG": ""})
    assert found == Settings()
    assert (found.bind, found.port, found.workers, found.api_key) == ("127.0.0.1", 8080, 1, "")
    assert (found.request_timeout_s, found.keep_alive_s, found.shutdown_timeout_s) == (30, 75, 10)
    assert (found.max_body_bytes, found.max_inflight_bytes) == (1 << 20, 64 << 20)
    assert (found.max_inflight_requests, found.max_batch_events) == (1024, 10_000)
    assert (found.max_batch_bytes, found.idempotency_ttl_s) == (16 << 20, 86_400)
    assert (found.idempotency_keys, found.max_scenarios, found.max_rate) == (100_000, 100, 100_000)
    assert (found.keep_scenarios, found.log_level, found.log_format) == (1000, "info", "console")
    assert found.tls_root == Path("/etc/ssl")


def test_a_flag_wins_over_its_variable() -> None:
    """Also where the variable would be a mistake: it is not looked at."""
    assert read_settings(["--port", "1"], {"SONDA_PORT": "nonsense"}).port == 1
    assert read_settings([], {"SONDA_PORT": "2"}).port == 2


def test_what_may_be_given_again_is_joined() -> None:
    """A flag twice, or commas; of the variable there is only one."""
    twice = read_settings(["--allow-host", "a,b:1", "--allow-host", "c"], {})
    assert twice.allow_host == read_settings([], {"SONDA_ALLOW_HOST": "a,b:1,c"}).allow_host
    assert len(twice.allow_host) == 3


@pytest.mark.parametrize(
    ("argv", "environ", "said"),
    [
        (["--port", "65536"], {}, "--port"),
        ([], {"SONDA_PORT": "x"}, "SONDA_PORT"),
        (["--prot", "1"], {}, "No such option"),
        (["--request-timeout", "0"], {}, "--request-timeout"),
        ([], {"SONDA_API_KEY_FILE": "/no/such/file"}, "SONDA_API_KEY_FILE"),
        (["--api-key", "a"], {"SONDA_API_KEY_FILE": "/x"}, "not both"),
    ],
)
def test_a_mistake(
    argv: list[str], environ: dict[str, str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It ends the start, and names the flag or the variable."""
    with pytest.raises(SystemExit) as caught:
        read_settings(argv, environ)
    assert caught.value.code == 2
    assert said in capsys.readouterr().err


def test_an_argument_is_not_quoted(capsys: pytest.CaptureFixture[str]) -> None:
    """It may be the key, behind a flag that was misspelt."""
    with pytest.raises(SystemExit):
        read_settings(["--port", "1", "s3cret-key"], {})
    assert "s3cret-key" not in "".join(capsys.readouterr())


def test_a_key_in_a_file(tmp_path: Path) -> None:
    """Its content less a final line feed; the file is remembered, to be read again; an empty one is none."""
    file = tmp_path / "key"
    file.write_text("s3cret\n")
    found = read_settings([], {"SONDA_API_KEY_FILE": str(file)})
    assert (found.api_key, found.api_key_file) == ("s3cret", file)
    file.write_text("\n")
    with pytest.raises(SystemExit):
        read_settings([], {"SONDA_API_KEY_FILE": str(file)})


def test_the_key_is_shown_to_nobody() -> None:
    """Settings end up in tracebacks."""
    assert "s3cret" not in repr(Settings(api_key="s3cret"))


def test_a_deleted_current_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server starts without one, and no file can be made below what stands for it."""

    def gone(*_: Any) -> Path:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "cwd", gone)
    folder = current_folder()
    assert folder.is_absolute()
    assert Settings().file_root == folder


def test_each_setting_has_its_flag() -> None:
    """But for the file of a secret, which is a variable alone."""
    assert {flag.name for flag in FLAGS} == {one.name for one in fields(Settings)} - {
        "api_key_file"
    }
