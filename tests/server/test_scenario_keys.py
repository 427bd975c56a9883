"""`/scenarios` with a configuration: named destinations, and keys that see their own runs alone."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from tests.support.destinations import http_destination
from tests.support.scenarios import wait_for_values
from tests.support.serving import Serving, serving

ALL: Final = "key-of-everybody"
CI: Final = "key-of-the-builds"
LAB: Final = "key-of-the-laboratory"
TOKEN: Final = "token-secret-6"
PART: Final = "webhook-secret-5"

CONFIG: Final = """
[destinations.good]
encoder = {{ type = "json_lines" }}
sink = {{ type = "file", path = "{root}/private-folder-7/good.txt" }}
labels = {{ env = "prod", team = "a" }}
[destinations.refusing]
encoder = {{ type = "json_lines" }}
sink = {{ type = "http_push", url = "http://127.0.0.1:{port}/echo/400/{part}", headers = {{ X-T = "{token}" }} }}
[keys.all]
key = "{all}"
[keys.ci]
key = "{ci}"
destinations = ["good"]
[keys.lab]
key = "{lab}"
destinations = ["good", "refusing"]
{more}
"""


def _configure(root: Path, port: int, more: str = "") -> Path:
    (root / "private-folder-7").mkdir(exist_ok=True)
    path = root / "sonda.toml"
    keys = {"all": ALL, "ci": CI, "lab": LAB, "part": PART, "token": TOKEN}
    path.write_text(CONFIG.format(root=root, port=port, more=more, **keys), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def configured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Serving, Path]]:
    """A server with two workers, whose destinations have secrets."""
    root = tmp_path_factory.mktemp("root")
    with http_destination() as listening:
        config = _configure(root, int(listening.url.rpartition(":")[2]))
        flags = ("--workers", "2", "--file-root", str(root), "--config", str(config))
        with serving(*flags) as server:
            yield server, root


def _call(server: Serving, key: str, method: str, path: str, body: object = None) -> httpx.Response:
    headers = {"Authorization": f"Bearer {key}"}
    content = None if body is None else json.dumps(body)
    if content is not None:
        headers["Content-Type"] = "application/json"
    return server.request(method, path, headers=headers, content=content)


def _entry(name: str, destination: str | None = "good", **changes: Any) -> dict[str, Any]:
    entry = {
        "signal_type": "metrics",
        "name": name,
        "rate": 50,
        "count": 5,
        "generator": {"type": "step", "step_size": 1},
        "destination": destination,
    }
    return {key: value for key, value in {**entry, **changes}.items() if value is not None}


def test_a_named_destination(configured: tuple[Serving, Path]) -> None:
    """Events go where the operator says, with its labels; the document names the destination alone."""
    server, root = configured
    body = _entry("named", labels={"team": "b"})
    started = _call(server, LAB, "POST", "/scenarios", body).json()
    ended = _call(server, LAB, "GET", f"/scenarios/{started['id']}?wait=55s")
    assert ended.json()["ledger"]["delivered"] == 5
    assert ended.json()["document"] == body
    written = (root / "private-folder-7" / "good.txt").read_text().splitlines()
    first = json.loads(next(line for line in written if '"named"' in line))
    assert first["labels"] == {"env": "prod", "team": "b"}


def test_secrets_of_a_destination_are_hidden(configured: tuple[Serving, Path]) -> None:
    """Neither plan, details, events made again nor the log show a path, a header or a password."""
    server, _ = configured
    body = {"scenarios": [_entry("kept", "refusing"), _entry("filed", count=1)]}
    plan = _call(server, LAB, "POST", "/scenarios?dry_run=true", body)
    assert plan.status_code == 200
    run = _call(server, LAB, "POST", "/scenarios", body).json()["id"]
    ended = _call(server, LAB, "GET", f"/scenarios/{run}?wait=55s")
    assert ended.json()["ledger"]["rejected"] == 5
    again = _call(server, LAB, "GET", f"/scenarios/{run}/events")
    lines = [json.loads(line) for line in again.text.splitlines()]
    assert {line["event"]["destination"] for line in lines} == {"refusing"}
    assert all("sink" not in line["event"] for line in lines)
    assert all("400" in line["detail"] for line in lines)
    for text in (plan.text, ended.text, again.text, server.log):
        for secret in (TOKEN, PART, "private-folder-7"):
            assert secret not in text


def test_an_event_made_again_is_a_body(configured: tuple[Serving, Path]) -> None:
    """What `/events` of a run answers can be posted as it is."""
    server, _ = configured
    run = _call(server, LAB, "POST", "/scenarios", _entry("again", "refusing")).json()["id"]
    _call(server, LAB, "GET", f"/scenarios/{run}?wait=55s")
    text = _call(server, LAB, "GET", f"/scenarios/{run}/events?limit=1").text
    body = {**json.loads(text)["event"], "destination": "good"}
    assert _call(server, LAB, "POST", "/events", body).status_code == 200


@pytest.mark.parametrize(
    ("entry", "status", "says"),
    [
        (_entry("a", None), 403, "scenario entry 'a': this key may use named destinations alone"),
        (
            _entry("a", None, sink={"type": "tcp", "address": "127.0.0.1:9"}),
            403,
            "scenario entry 'a': this key may use named destinations alone",
        ),
        (_entry("a", "refusing"), 422, 'destination: there is no destination "refusing"'),
        (_entry("a", "nowhere"), 422, 'destination: there is no destination "nowhere"'),
        (_entry("a", sink={"type": "stdout"}), 400, "unknown field 'sink'"),
    ],
)
def test_what_a_restricted_key_may_not_send_to(
    configured: tuple[Serving, Path], entry: dict[str, Any], status: int, says: str
) -> None:
    """Each entry needs a destination of the key's; another's is answered as an unknown one."""
    server, _ = configured
    for path in ("/scenarios", "/scenarios?dry_run=true"):
        answer = _call(server, CI, "POST", path, {"scenarios": [entry, _entry("b")]})
        assert (answer.status_code, says in answer.json()["detail"]) == (status, True), answer.text


def test_a_restricted_key_sees_stops_and_collides_with_its_own_runs(
    configured: tuple[Serving, Path],
) -> None:
    """Another key's run is as good as none; an unrestricted key sees all."""
    server, _ = configured
    endless = {"scenario_name": "same", **_entry("same", count=None)}
    mine = _call(server, CI, "POST", "/scenarios", endless).json()["id"]
    theirs = _call(server, LAB, "POST", "/scenarios", endless)
    assert theirs.status_code == 201
    assert _call(server, CI, "POST", "/scenarios", endless).status_code == 409
    refused = _call(server, ALL, "POST", "/scenarios", endless)
    assert refused.status_code == 409
    other = theirs.json()["id"]
    for method, path in (
        ("GET", ""),
        ("GET", "/events"),
        ("GET", "/progress"),
        ("DELETE", ""),
        ("GET", ".same"),
        ("DELETE", ".same"),
    ):
        answer = _call(server, CI, method, f"/scenarios/{other}{path}")
        assert answer.status_code == 404
        assert "there is no scenario" in answer.json()["detail"]
    listed = {
        key: {one["id"] for one in _call(server, key, "GET", "/scenarios").json()["scenarios"]}
        for key in (ALL, CI, LAB)
    }
    assert mine in listed[CI] - listed[LAB]
    assert other in listed[LAB] - listed[CI]
    assert {mine, other} <= listed[ALL]
    assert _call(server, CI, "DELETE", f"/scenarios/{mine}").json()["status"] == "stopped"
    assert _call(server, ALL, "DELETE", f"/scenarios/{other}").json()["status"] == "stopped"


def test_a_restricted_key_changes_and_scrapes_its_own_runs(
    configured: tuple[Serving, Path],
) -> None:
    """The run of another key is unknown to it: it is not changed, and none of its values is shown."""
    server, _ = configured
    run = _call(server, LAB, "POST", "/scenarios", _entry("mine", count=10**6)).json()["id"]
    wait_for_values(server, run, headers={"Authorization": f"Bearer {LAB}"})
    change = {"rate": 1}
    assert _call(server, CI, "PATCH", f"/scenarios/{run}", change).status_code == 404
    assert _call(server, CI, "GET", f"/scenarios/{run}/metrics").status_code == 404
    assert "mine" not in _call(server, CI, "GET", "/scenarios/metrics").text
    assert 'mine{env="prod",team="a"}' in _call(server, ALL, "GET", "/scenarios/metrics").text
    assert _call(server, LAB, "PATCH", f"/scenarios/{run}", change).status_code == 200
    assert _call(server, LAB, "GET", "/scenarios/metrics").text.startswith("# HELP mine ")
    assert _call(server, LAB, "DELETE", f"/scenarios/{run}").status_code == 200


def test_a_reload_reaches_the_runner(tmp_path: Path) -> None:
    """After SIGHUP a new destination and a new key can be used, in the runner that runs already."""
    config = _configure(tmp_path, 1)
    with serving("--file-root", str(tmp_path), "--config", str(config)) as server:
        before = _call(server, LAB, "POST", "/scenarios", _entry("early", count=1))
        assert before.status_code == 201
        more = f'[destinations.new]\nsink = {{ type = "file", path = "{tmp_path}/new.txt" }}\n'
        _configure(tmp_path, 1, more + '[keys.new]\nkey = "key-of-new"\ndestinations = ["new"]\n')
        server.process.send_signal(signal.SIGHUP)
        server.wait_for_log("read again")
        run = _call(server, "key-of-new", "POST", "/scenarios", _entry("late", "new")).json()["id"]
        ended = _call(server, "key-of-new", "GET", f"/scenarios/{run}?wait=55s").json()
        assert ended["ledger"]["delivered"] == 5
        assert len((tmp_path / "new.txt").read_text().splitlines()) == 5
