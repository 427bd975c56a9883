"""Flags, variables and secret files become settings; what is wrong ends the start with status 2."""

from __future__ import annotations

from dataclasses import fields
from ipaddress import IPv6Network
from pathlib import Path
from typing import Any

import pytest

from sonda.pipeline.policy.destinations import Rule
from sonda.server.flags import FLAGS
from sonda.server.host_check import AllowedHost
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


BAD_SETTINGS = {
    "port": ["", "x", "-1", "65536", "1.5", "1_0", "٣"],
    "request-timeout": ["0", "-1", "nan", "inf", "1e3", "3601"],
    "max-body-bytes": ["0", "1k", "1MB", "2GiB"],
    "max-inflight-requests": ["0"],
    "workers": ["0", "257", "all"],
    "log-level": ["loud"],
    "shutdown-timeout": ["-1", "x"],
    "keep-alive": ["0", "2d"],
    "max-inflight-bytes": ["0", "64mib"],
    "max-batch-events": ["0"],
    "max-batch-bytes": ["-1"],
    "idempotency-ttl": ["0", "24 h"],
    "idempotency-keys": ["0"],
    "max-scenarios": ["-1"],
    "max-rate": ["0"],
    "keep-scenarios": ["x"],
    "config": ["/no/such/file", "/etc"],
    "state-dir": ["/etc/passwd"],
    "file-root": ["/no/such/folder", "/etc/passwd"],
    "tls-root": ["/no/such/folder"],
    "bind": [" ", "a\nb"],
    "allow-destination": ["a b", "loki:0", "10.0.0.1/8", "stdout=x", "loki,,kafka", "loki,"],
    "allow-host": ["a b", "*.example", "x:0", "http://x", "a,,b"],
    "api-key": ["bad\nkey", " bad-key", "bad-key\t", "bad-key\x7f", "bad\udcff"],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in BAD_SETTINGS.items() for value in values]
)
def test_bad_settings_are_usage_errors(
    name: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bad value ends with 2, names the flag or the variable, and never shows a key."""
    variable = f"SONDA_{name.upper().replace('-', '_')}"
    for argv, environ, subject in [
        ([f"--{name}={value}"], {}, f"'--{name}' (env var: '{variable}'): must be "),
        ([], {variable: value or "?"}, f"'--{name}' (env var: '{variable}'): must be "),
    ]:
        with pytest.raises(SystemExit, match=r"^2$"):
            read_settings(argv, environ)
        message = " ".join(capsys.readouterr().err.split())
        assert subject in message
        assert name != "api-key" or value not in message


def test_every_setting_has_a_flag_and_a_variable(tmp_path: Path) -> None:
    """Both ways give the same settings; the flag wins; empty variables count as not given."""
    values = {
        "bind": "::1",
        "port": "0",
        "api-key": "clé",
        "request-timeout": "1.5",
        "max-body-bytes": "10",
        "max-inflight-requests": "2",
        "workers": "3",
        "log-level": "DEBUG",
        "file-root": str(tmp_path),
        "tls-root": str(tmp_path),
        "shutdown-timeout": "0",
        "allow-destination": "loki=*.svc.local:3100, [::1]:80",
        "allow-host": "Sonda.Example,::1",
        "log-format": "JSON",
        "keep-alive": "2m",
        "max-inflight-bytes": "1GiB",
        "max-batch-events": "5",
        "max-batch-bytes": "2KiB",
        "idempotency-ttl": "1.5h",
        "idempotency-keys": "7",
        "max-scenarios": "0",
        "max-rate": "9",
        "keep-scenarios": "0",
        "config": "/etc/passwd",
        "state-dir": str(tmp_path),
    }
    environ = {f"SONDA_{n.upper().replace('-', '_')}": value for n, value in values.items()}
    rules = (
        Rule("*.svc.local", port=3100, sink="loki"),
        Rule(network=IPv6Network("::1/128"), port=80),
    )
    hosts = (AllowedHost("sonda.example"), AllowedHost("::1"))
    expected = Settings(
        "::1",
        0,
        "clé",
        1.5,
        10,
        2,
        3,
        "debug",
        tmp_path,
        tmp_path,
        0.0,
        rules,
        hosts,
        "json",
        120.0,
        2**30,
        5,
        2048,
        5400.0,
        7,
        0,
        9,
        0,
        Path("/etc/passwd"),
        tmp_path,
    )
    assert len(values) == len(FLAGS)
    flags = [f"--{name}={value}" for name, value in values.items()]
    assert read_settings(flags, {}) == expected
    assert read_settings([], environ) == expected
    assert read_settings(flags, dict.fromkeys(environ, "?")) == expected
    assert read_settings([], dict.fromkeys(environ, "")) == Settings()
    assert read_settings(["--api-key", ""], environ).api_key == ""
    assert "clé" not in repr(expected)


def test_flags_given_again_add_up() -> None:
    """A repeatable flag is the sum of what is given; the environment counts only without it."""
    environ = {"SONDA_ALLOW_DESTINATION": "c", "SONDA_ALLOW_HOST": "x,y"}
    argv = ["--allow-destination=a,b", "--allow-destination", "kafka=*:9092"]
    settings = read_settings(argv, environ)
    assert settings.allow_destination == (Rule("a"), Rule("b"), Rule("*", port=9092, sink="kafka"))
    assert settings.allow_host == (AllowedHost("x"), AllowedHost("y"))


@pytest.mark.parametrize(
    ("argv", "reason"),
    [
        (["--api_key", "canary"], "No such option '--api_key'"),
        (["--apikey=canary"], "No such option '--apikey'"),
        (["canary"], "unexpected arguments"),
    ],
)
def test_unknown_flags_show_no_value(
    argv: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What stands behind a misspelt flag may be the key."""
    with pytest.raises(SystemExit, match=r"^2$"):
        read_settings(argv, {})
    message = capsys.readouterr().err
    assert reason in message
    assert "canary" not in message


def test_a_key_from_a_file(tmp_path: Path) -> None:
    """A file may hold the key; one final line feed is not part of it."""
    file = tmp_path / "key"
    file.write_bytes("clé\n".encode())
    settings = read_settings([], {"SONDA_API_KEY_FILE": str(file), "SONDA_API_KEY": ""})
    assert (settings.api_key, settings.api_key_file) == ("clé", file)


@pytest.mark.parametrize(
    ("content", "environ", "reason"),
    [
        (None, {}, "cannot be read: No such file or directory"),
        (b"", {}, "is empty"),
        (b"\n", {}, "is empty"),
        (b"canary\x07", {}, "without control characters"),
        (b"canary\xff", {}, "must be UTF-8"),
        (b"canary" * 20_000, {}, "is over 65536 bytes"),
        (b"canary", {"SONDA_API_KEY": "canary"}, "not both"),
    ],
)
def test_a_bad_key_file_is_a_usage_error(
    content: bytes | None,
    environ: dict[str, str],
    reason: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Whatever is wrong with the file, the server does not start open, and shows no key."""
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SystemExit, match=r"^2$"):
        read_settings([], {"SONDA_API_KEY_FILE": str(file), **environ})
    message = " ".join(capsys.readouterr().err.split())
    assert "SONDA_API_KEY_FILE" in message
    assert reason in message
    assert "canary" not in message


def test_a_file_and_a_flag_are_not_both_taken(tmp_path: Path) -> None:
    """Not even where they say the same, or the flag is to turn auth off."""
    file = tmp_path / "key"
    file.write_bytes(b"key")
    for key in ("key", ""):
        with pytest.raises(SystemExit, match=r"^2$"):
            read_settings(["--api-key", key], {"SONDA_API_KEY_FILE": str(file)})
