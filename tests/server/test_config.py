"""A server with a configuration: named destinations, several keys, SIGHUP, and what stays hidden."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from base64 import b64encode
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pytest

from tests.support.destinations import Arrivals, http_destination
from tests.support.serving import PATIENCE_S, Reply, Serving, serving

ALL: Final = "key-of-everybody-1"
CI: Final = "key-of-the-builds-2"
TENANT: Final = "tenant-secret-3"
PASSWORD: Final = "pass/word-secret-4"
PART: Final = "webhook-secret-5"
TOKEN: Final = "token-secret-6"
SECRETS: Final = (ALL, CI, TENANT, PASSWORD, PART, TOKEN)


def spellings(secret: str) -> Iterator[str]:
    """Every escaping in which a secret could be seen."""
    yield secret
    yield quote(secret, safe="")
    yield b64encode(secret.encode()).decode().rstrip("=")
    yield json.dumps(secret)[1:-1].replace("/", "\\/")
    yield secret.encode().hex()


def leaks(text: str) -> list[str]:
    """The secrets that a text shows."""
    found = (one for one in SECRETS for how in spellings(one) if how.lower() in text.lower())
    return sorted(set(found))


def configure(folder: Path, port: int, **changes: str) -> Path:
    """Write a configuration whose secrets come from the environment and from a file."""
    folder.mkdir(exist_ok=True)
    (folder / "token").write_text(TOKEN + "\n", encoding="utf-8")
    loki = f"http://user:{quote(PASSWORD, safe='')}@127.0.0.1:{port}"
    text = f"""
[destinations.loki]
sink = {{ type = "loki", url = "{loki}/s/204/{PART}", headers = {{ X-Scope-OrgID = "env:TENANT", X-T = "file:token" }} }}
labels = {{ env = "prod", team = "a" }}

[destinations.no]
encoder = {{ type = "json_lines" }}
sink = {{ type = "http_push", url = "http://127.0.0.1:{port}/echo/400/{PART}?t={TOKEN}", headers = {{ X-T = "file:token" }} }}

[destinations.gone]
sink = {{ type = "http_push", url = "http://127.0.0.1:1/{PART}" }}

[keys.all]
key = "{changes.get("all_key", ALL)}"
[keys.ci]
key = "{CI}"
destinations = ["loki"]
{changes.get("more", "")}
"""
    path = folder / "sonda.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def destination() -> Iterator[tuple[int, Arrivals]]:
    with http_destination() as listening:
        yield int(listening.url.rpartition(":")[2]), listening.posts


def event(**changes: Any) -> dict[str, Any]:
    body: dict[str, Any] = {
        "signal_type": "logs",
        "labels": {"team": "b"},
        "log": {"severity": "info", "message": "hello"},
    }
    return {**body, **changes}


def ask(server: Serving, body: object = None, *, path: str = "/events", key: str = ALL) -> Reply:
    """Post an event, or get what is at a path."""
    head = f"Host: localhost\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n"
    if body is None:
        return server.ask(f"GET {path} HTTP/1.1\r\n{head}\r\n".encode())
    raw = json.dumps(body).encode()
    head += f"Content-Type: application/json\r\nContent-Length: {len(raw)}\r\n"
    return server.ask(f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + raw)


def started(config: Path, *flags: str, **environ: str) -> Any:
    return serving("--config", str(config), *flags, environ={"TENANT": TENANT, **environ})


def test_a_destination_is_used_by_its_name(
    tmp_path: Path, destination: tuple[int, Arrivals]
) -> None:
    """Its labels are there but for the event's own, and the caller's key is named in the log."""
    port, arrivals = destination
    with started(configure(tmp_path, port)) as server:
        reply = ask(server, event(destination="loki"), key=CI)
        assert (reply.status, reply.document["sent"]) == (200, True)
        (request,) = arrivals.items
        stream = json.loads(request.body)["streams"][0]["stream"]
        assert stream == {"env": "prod", "team": "b"}
        headers = {name.lower(): value for name, value in request.headers.items()}
        assert headers["x-scope-orgid"] == TENANT
        assert headers["x-t"] == TOKEN
        server.wait_for_log(r'key="ci"')


def test_who_may_use_what(tmp_path: Path, destination: tuple[int, Arrivals]) -> None:
    port, arrivals = destination
    with started(configure(tmp_path, port)) as server:
        listed = ask(server, path="/destinations", key=CI).document
        assert listed == {"destinations": [{"name": "loki", "sink": "loki"}]}
        names = [one["name"] for one in ask(server, path="/destinations").document["destinations"]]
        assert names == ["loki", "no", "gone"]
        for name in ("no", "nothing"):
            reply = ask(server, event(destination=name), key=CI)
            detail = f'destination: there is no destination "{name}"'
            assert (reply.status, reply.document["detail"]) == (422, detail)
        inline = event(encoder={"type": "json_lines"}, sink={"type": "stdout"})
        for path in ("/events", "/events?dry_run=true"):
            assert ask(server, inline, path=path, key=CI).status == 403
            assert ask(server, inline, path=path).status == 200
        assert ask(server, {**inline, "labels": {"a-b": "c"}}, key=CI).status == 422
        both = ask(server, {**inline, "destination": "loki"})
        assert both.status == 400
        assert "unknown field 'sink'" in both.document["detail"]
        for wrong in ("x", ""):
            assert ask(server, event(destination="loki"), key=wrong).status == 401
    assert arrivals.items == []


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_no_secret_is_seen_anywhere(
    tmp_path: Path, destination: tuple[int, Arrivals], log_format: str
) -> None:
    """Neither in answers of any kind nor in the log, the metrics, the documents, the process list."""
    port, _ = destination
    seen: list[str] = []
    state = tmp_path / "state"
    flags = ("--log-format", log_format, "--state-dir", str(state))
    with started(configure(tmp_path, port), *flags) as server:
        for name, status in (("loki", 200), ("no", 502), ("gone", 502)):
            for path in ("/events", "/events?receipt=true"):
                reply = ask(server, event(destination=name), path=path)
                assert reply.status == status, reply.body
                seen.append(reply.body.decode())
            preview = ask(server, event(destination=name), path="/events?dry_run=true")
            assert preview.status == 200, preview.body
            assert "127.0.0.1" in preview.document["preview"]["target"]
            assert "***" in preview.body.decode()
            seen.append(preview.body.decode())
        seen += [
            ask(server, path=path).body.decode()
            for path in ("/destinations", "/metrics", "/openapi.json", "/docs")
        ]
        seen.append(Path(f"/proc/{server.process.pid}/cmdline").read_bytes().decode())
        seen.append(ask(server, event(destination="no"), key="x").body.decode())
        seen += answers_to_a_scenario(server)
    seen.append(server.log)
    seen += [path.read_bytes().decode("latin-1") for path in state.iterdir()]
    assert "127.0.0.1:1" in "".join(seen)
    assert [leaks(text) for text in seen] == [[]] * len(seen)


def answers_to_a_scenario(server: Serving) -> list[str]:
    """Plan and run one for a destination that refuses all; return every answer that shows it."""
    scenario = {
        "scenario_name": "hidden",
        "signal_type": "logs",
        "name": "a",
        "rate": 100,
        "count": 2,
        "destination": "no",
        "log_generator": {"type": "template", "templates": ["x"]},
    }
    planned = ask(server, scenario, path="/scenarios?dry_run=true")
    begun = ask(server, scenario, path="/scenarios")
    assert (planned.status, begun.status) == (200, 201), (planned.body, begun.body)
    run = begun.document["id"]
    shown = ask(server, path=f"/scenarios/{run}?wait=55s")
    assert shown.document["ledger"]["rejected"] == 2
    again = ask(server, path=f"/scenarios/{run}/events")
    assert b"400 Bad Request" in again.body
    answers = (planned, begun, shown, again, ask(server, path="/scenarios"))
    return [answer.body.decode() for answer in answers]


def test_no_path_of_a_request_reaches_the_servers_own_files(
    tmp_path: Path, destination: tuple[int, Arrivals]
) -> None:
    port, _ = destination
    config = configure(tmp_path / "etc", port)
    state = tmp_path / "state"
    state.mkdir()
    (tmp_path / "link").symlink_to(config)
    os.link(config.parent / "token", tmp_path / "hard")
    before = config.read_bytes()
    flags = ("--file-root", str(tmp_path), "--state-dir", str(state))
    with started(config, *flags) as server:
        for path in ("etc/sonda.toml", "etc/token", "state/x", "state/a/b", "link", "hard"):
            sink: dict[str, Any] = {"type": "file", "path": path}
            body = event(encoder={"type": "json_lines"}, sink=sink)
            for query in ("", "?dry_run=true"):
                reply = ask(server, body, path=f"/events{query}")
                assert (path, reply.status) == (path, 403)
        tls = {"ca_cert": "etc/token"}
        sink = {"type": "loki", "url": "https://127.0.0.1:1", "tls": tls}
        assert ask(server, event(encoder={"type": "json_lines"}, sink=sink)).status == 403
        near = {"type": "file", "path": "etc/other"}
        assert ask(server, event(encoder={"type": "json_lines"}, sink=near)).status == 200
    assert config.read_bytes() == before
    assert not (state / "x").exists()


@pytest.mark.parametrize("workers", [1, 3])
def test_sighup_reads_the_configuration_again(
    tmp_path: Path, destination: tuple[int, Arrivals], workers: int
) -> None:
    """A key is rotated without a moment in which neither is valid; a faulty file changes nothing."""
    port, _ = destination
    new = "key-that-is-new-7"
    config = configure(tmp_path, port)

    def statuses(key: str) -> set[int]:
        return {ask(server, path="/destinations", key=key).status for _ in range(12)}

    with started(config, "--workers", str(workers)) as server:
        assert (statuses(ALL), statuses(new)) == ({200}, {401})
        configure(tmp_path, port, more=f'[keys.new]\nkey = "{new}"')
        server.process.send_signal(signal.SIGHUP)
        server.wait_for_log("read again: 3 destinations, 3 keys")
        wait_until(lambda: statuses(new) == {200})
        assert statuses(ALL) == {200}
        configure(tmp_path, port, more="[keys.bad]")
        server.process.send_signal(signal.SIGHUP)
        server.wait_for_log(r"the configuration stays as it was: .*keys\.bad\.key")
        assert (statuses(ALL), statuses(new)) == ({200}, {200})
        config.write_text("", encoding="utf-8")
        server.process.send_signal(signal.SIGHUP)
        server.wait_for_log("no key is left, which would let anybody call")
        assert (statuses(ALL), statuses(new)) == ({200}, {200})
        configure(tmp_path, port, all_key=new)
        server.process.send_signal(signal.SIGHUP)
        server.wait_for_log("read again: 3 destinations, 2 keys")
        wait_until(lambda: statuses(ALL) == {401})
        assert statuses(new) == {200}
        assert server.stop() == 0


def wait_until(holds: Any) -> None:
    """Ask again until it holds: a worker takes over in a moment of its own."""
    until_s = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < until_s


@pytest.mark.parametrize(
    ("text", "environ", "fault"),
    [
        ("[destination.x]\n", {}, "destination: unknown, expected"),
        ('[keys.a]\nkey = "env:NO"\n', {}, r'keys\.a\.key: the variable "NO" is not set'),
        ('[keys.a]\nkey = "env:NO"\n', {"NO": ""}, r'keys\.a\.key: the variable "NO" is empty'),
        ("[", {}, "is not valid TOML"),
    ],
)
def test_a_faulty_configuration_is_an_error_at_the_start(
    tmp_path: Path, text: str, environ: Mapping[str, str], fault: str
) -> None:
    path = tmp_path / "sonda.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(AssertionError) as caught, started(path, **environ):
        pass
    assert re.search(fault, str(caught.value))
