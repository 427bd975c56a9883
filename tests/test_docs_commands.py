"""What the documents have their readers type or write, and no other test runs."""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml
from returns.result import Success

import sonda
from sonda.server.config import load_config
from sonda.server.settings import Settings
from tests.backends import install
from tests.support.bodies import LOG, METRIC, changed
from tests.support.command_line import typed
from tests.support.destinations import HttpDestination, http_destination
from tests.support.pages import ROOT, Block, block, blocks
from tests.support.serving import PATIENCE_S, Serving, serving
from tools import deploy_tools

SONDA: Final = "http://localhost:8080"
EVENT: Final = changed(LOG, labels={"env": "prod"}, sink={"type": "stdout"})


def in_language(language: str) -> list[Any]:
    return [pytest.param(one, id=str(one)) for one in blocks() if one.language == language]


@pytest.fixture
def destination() -> Iterator[HttpDestination]:
    with http_destination() as found:
        yield found


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Serving]:
    with serving("--file-root", str(tmp_path)) as found:
        yield found


def bash(command: str, folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Type a command, with `sonda` as it is here."""
    programs = folder / "bin"
    programs.mkdir(exist_ok=True)
    for name, module in (("sonda", "sonda"), ("sonda-server", "sonda.server")):
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m {module} "$@"\n')
        program.chmod(0o755)
    path = f"{programs}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env={"PATH": path, "PYTHONPATH": str(ROOT), "HOME": str(folder), **environ},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


# --- JSON, TOML and YAML ---------------------------------------------------------------------------


@pytest.mark.parametrize("shown", in_language("json"))
def test_json_is_what_it_is_said_to_be(shown: Block, tmp_path: Path) -> None:
    """An event, the options of an encoder or a sink, an answer, or a line of the log."""
    match json.loads(shown.text):
        case {"signal_type": _, "labels": _}:
            (tmp_path / "event.json").write_text(shown.text)
            assert typed("check", str(tmp_path / "event.json")).exit_code == 0
        case {"type": str(name)} as options:
            assert_options_fit(name, options)
        case {"sent": True} as answer:
            assert_server_answers(answer, tmp_path)
        case {"logger": "uvicorn.access"} as line:
            assert_server_logs(line)
        case other:
            pytest.fail(f"{shown}: {other}")


def assert_options_fit(name: str, options: dict[str, Any]) -> None:
    """An event of one of the two signals can be rendered with them."""
    if name in EXTRAS:
        pytest.importorskip(EXTRAS[name])
    is_encoder = (ROOT / "schemas" / "encoders" / f"{name}.json").is_file() and "url" not in options
    event = {**(METRIC if name in OF_METRICS else LOG)}
    event["encoder"] = options if is_encoder else {"type": ENCODERS.get(name, "json_lines")}
    event["sink"] = SINKS.get(name, {"type": "stdout"}) if is_encoder else options
    assert isinstance(sonda.preview(event), Success)


EXTRAS: Final = {
    "kafka": "confluent_kafka",
    "otlp": "google.protobuf",
    "otlp_grpc": "grpc",
    "otlp_http": "google.protobuf",
    "remote_write": "snappy",
}
OF_METRICS: Final = ("influx_lp", "prometheus_text", "remote_write")
ENCODERS: Final = {"otlp_grpc": "otlp", "otlp_http": "otlp", "remote_write": "remote_write"}
SINKS: Final = {
    "otlp": {"type": "otlp_http", "endpoint": "http://collector:4318"},
    "remote_write": {"type": "remote_write", "url": "http://prom:9090/api/v1/write"},
}


def assert_server_answers(answer: dict[str, Any], folder: Path) -> None:
    """A server's receipt has the same fields in the same order, of the same types."""
    with http_destination() as destination, serving("--file-root", str(folder)) as server:
        event = {**EVENT, "sink": {"type": "loki", "url": destination.url}}
        got = server.request("POST", "/events?receipt=true", json=event).json()
    got.pop("warnings")  # the destination is on this machine
    assert [*got] == [*answer]
    assert [(n, type(v)) for n, v in got["receipt"].items()] == [
        (n, type(v)) for n, v in answer["receipt"].items()
    ]
    said = ("confirmed", "tries", "status")
    assert [got["receipt"][n] for n in said] == [answer["receipt"][n] for n in said]


def assert_server_logs(line: dict[str, Any]) -> None:
    """A server's line for such an event has the same fields in the same order, of the same types."""
    with (
        http_destination() as destination,
        serving("--log-format", "json", environ={"SONDA_API_KEY": ""}) as server,
    ):
        event = {**EVENT, "sink": {"type": "loki", "url": destination.url}}
        headers = {"X-Request-Id": line["id"]}
        assert server.request("POST", "/events", json=event, headers=headers).status_code == 200
        logged = json.loads(server.wait_for_log(r'(?m)^.*"logger":"uvicorn.access".*$')[0])
    assert [(name, type(value)) for name, value in logged.items()] == [
        (name, type(value)) for name, value in line.items()
    ]
    differ = ("time", "client", "latency_ms", "target", "warnings")
    assert {n: v for n, v in logged.items() if n not in differ} == {
        n: v for n, v in line.items() if n not in differ
    }
    assert logged["target"] == destination.url
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", logged["time"])
    assert re.fullmatch(r"127\.0\.0\.1:\d+", logged["client"])


@pytest.mark.parametrize("shown", in_language("toml"))
def test_a_configuration_is_read_by_the_server(shown: Block, tmp_path: Path) -> None:
    """With what its `env:` and `file:` strings stand for."""
    if "remote_write" in shown.text:
        pytest.importorskip("snappy")
    text = shown.text.replace("/run/secrets/", "")
    environ = {}
    for kind, name in re.findall(r'"(env|file):([^"]+)"', text):
        if kind == "file":
            (tmp_path / name).write_text(f"secret-{name}\n")
        else:
            environ[name] = f"Basic {name}"
    (tmp_path / "sonda.toml").write_text(text)
    config = load_config(Settings(config=tmp_path / "sonda.toml"), environ)
    assert [*config.destinations]
    assert {f"[destinations.{name}]" for name in config.destinations} <= set(text.splitlines())


@pytest.mark.parametrize("shown", in_language("yaml"))
def test_yaml_is_read_by_what_gets_it(
    shown: Block, tmp_path: Path, destination: HttpDestination
) -> None:
    """Compose, Prometheus, Kubernetes, a pipeline of a CI, pre-commit, or Sonda itself."""
    match yaml.safe_load(shown.text):
        case {"services": _} as document:
            compose_reads(document, tmp_path)
        case {"extra_hosts": _} as service:
            compose_reads({"services": {"sonda": {"image": "sonda", **service}}}, tmp_path)
        case {"scrape_configs": _}:
            promtool_reads(shown.text, tmp_path)
        case {"apiVersion": _} as manifest:
            kubernetes_validate.validate(manifest, "1.30", strict=True)
        case {"jobs": {"deploy": {"steps": steps}}}:
            assert_action_takes(next(one for one in steps if one.get("uses") == "./"))
            used = re.findall(r"outputs\.(\w+)", shown.text)
            assert set(used) <= action()["outputs"].keys()
        case {"deploy": {"script": script}}:
            assert_wraps(script[-1], destination, tmp_path)
        case {"repos": [{"hooks": [{"id": str(name)}]}]}:
            [hook] = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text("utf-8"))
            assert name == hook["id"]
        case dict(scenario):
            plan_of(scenario)
        case other:
            pytest.fail(f"{shown}: {other}")


def compose_reads(document: dict[str, Any], folder: Path) -> None:
    if not (found := deploy_tools.find("compose")):
        pytest.skip("compose is not installed: run `python3 -m tools.deploy_tools`")
    file = folder / "compose.yaml"
    file.write_text(yaml.safe_dump(document))
    command = [str(found / "bin" / "docker-compose"), "--file", str(file), "config", "--quiet"]
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    assert subprocess.run(command, check=False, env=environ).returncode == 0


def promtool_reads(text: str, folder: Path) -> None:
    if not (found := install.find("prometheus")):
        pytest.skip("Prometheus is not installed: run `make backends`")
    (folder / "prometheus.yml").write_text(text)
    command = [str(found / "root/usr/bin/promtool"), "check", "config", "--syntax-only"]
    assert subprocess.run([*command, str(folder / "prometheus.yml")], check=False).returncode == 0


def action() -> dict[str, Any]:
    document = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    assert isinstance(document, dict)
    return document


def assert_action_takes(step: dict[str, Any]) -> None:
    """All that the step gives is an input, and all that is required is given."""
    inputs = action()["inputs"]
    assert step["with"].keys() <= inputs.keys()
    assert {name for name, one in inputs.items() if one.get("required")} <= step["with"].keys()


def assert_wraps(command: str, destination: HttpDestination, folder: Path) -> None:
    """The command runs, and its start and its end arrive."""
    (folder / "deploy.sh").write_text("#!/bin/sh\necho done\n")
    (folder / "deploy.sh").chmod(0o755)
    assert "https://loki.example" in command
    ran = bash(command.replace("https://loki.example", destination.url), folder)
    assert (ran.returncode, ran.stdout) == (0, "done\n")
    assert len(destination.posts.wait_for(2)) == 2


def plan_of(part: dict[str, Any]) -> Any:
    """Compile a scenario, or a part of one with the least that it needs."""
    least: dict[str, Any] = {"signal_type": "metrics", "name": "x", "duration": "1m"}
    if "log_generator" in part:
        least = {"signal_type": "logs", "name": "x", "rate": 1}
    elif "stages" in part:
        least = {"signal_type": "metrics", "name": "x"}
        part = {**part, "generator": {"type": "constant", "value": 1}}
    document = part if "scenarios" in part else {**least, **part}
    return sonda.load_scenario(document).unwrap()


# --- a server --------------------------------------------------------------------------------------


def test_a_request_with_a_key(server: Serving, tmp_path: Path) -> None:
    """Repeated, it is answered from what was kept, as the page says, and nothing is sent twice."""
    shown = block(
        "docs/retries.md", "$ curl http://localhost:8080/events -H 'Content-Type: application/json'"
    )
    event = {**EVENT, "sink": {"type": "file", "path": str(tmp_path / "x.log")}}
    (tmp_path / "event.json").write_text(json.dumps(event))
    [command] = shown.commands
    command = command.replace(SONDA, server.url) + " -is"
    first, second = bash(command, tmp_path).stdout, bash(command, tmp_path).stdout
    assert "200 OK" in first
    assert "idempotent-replayed: true" not in first.lower()
    assert "idempotent-replayed: true" in second.lower()
    assert len((tmp_path / "x.log").read_text().splitlines()) == 1


@pytest.mark.parametrize(
    ("page", "start"),
    [
        ("docs/retries.md", "$ curl http://localhost:8080/events -H 'Content-Type: application/x"),
        ("docs/guides/many-events.md", "curl"),
    ],
)
def test_many_events_in_one_request(page: str, start: str, server: Serving, tmp_path: Path) -> None:
    """Each line has its answer, as it is shown where it is."""
    lines = [EVENT, {**EVENT, "labels": {"a-b": "c"}}]
    (tmp_path / "events.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in lines))
    shown = block(page, start)
    [command] = shown.commands
    answers = bash(command.replace(SONDA, server.url), tmp_path).stdout.splitlines()
    assert [json.loads(line)["status"] for line in answers] == [200, 422]
    printed = [line for line in shown.text.splitlines() if line.startswith("{")]
    alike = partial(re.sub, r'"latency_ms":\d+', '"latency_ms":3')
    assert list(map(alike, answers)) == printed or page.endswith("many-events.md")


def test_a_server_with_a_key(tmp_path: Path) -> None:
    """It wants the key that it was started with."""
    [command] = block("docs/guides/keys.md", "SONDA_API_KEY=").commands
    assert command.endswith(" sonda-server")
    variable, _, _ = command.rpartition(" ")
    key = bash(f'{variable}; printf %s "$SONDA_API_KEY"', tmp_path).stdout
    assert re.fullmatch("[0-9a-f]{64}", key)
    with serving(environ={"SONDA_API_KEY": key}) as server:
        asked = partial(server.request, "POST", "/events", json=EVENT)
        assert asked().status_code == 401
        assert asked(headers={"Authorization": f"Bearer {key}"}).status_code == 200


# --- scenarios -------------------------------------------------------------------------------------


def demo(folder: Path) -> Path:
    """Write the page's first scenario, which ends sooner here."""
    text = block("docs/scenarios.md", "scenario_name: demo").text
    assert "duration: 1m" in text
    path = folder / "demo.yaml"
    path.write_text(text.replace("duration: 1m", "count: 100, pace: max"))
    return path


def test_a_scenario_is_run_as_shown(tmp_path: Path, destination: HttpDestination) -> None:
    """A dry run sends nothing; a run ends with its ledger."""
    demo(tmp_path)
    plan, run = block("docs/scenarios.md", "$ sonda run demo.yaml --dry-run").commands
    planned = bash(plan, tmp_path)
    assert (planned.returncode, planned.stderr) == (0, "")
    assert "access: 100 events" in planned.stdout
    assert not destination.posts.items
    ran = bash(run.replace("http://localhost:3100", destination.url), tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "200 planned" in ran.stderr.replace("planned 200", "200 planned")
    assert destination.posts.items


def test_a_scenario_over_http(server: Serving, tmp_path: Path) -> None:
    """It is started, and gets another rate; the answers have the fields that are shown."""
    text = block("docs/scenarios.md", "scenario_name: demo").text
    (tmp_path / "demo.yaml").write_text(text)
    start = block("docs/scenarios.md", "$ curl --data-binary")
    change = block("docs/scenarios.md", "$ curl -X PATCH")
    [command] = start.commands
    started = json.loads(bash(command.replace(SONDA, server.url), tmp_path).stdout)
    shown = start.text.splitlines()[1]
    assert [*started] == re.findall(r'"(\w+)":', shown)
    assert (started["name"], started["state"]) == ("demo", "running")
    [command] = change.commands
    url = f"{server.url}/scenarios/{started['id']}"
    assert f"{SONDA}/scenarios/…" in command
    changed_ = json.loads(bash(command.replace(f"{SONDA}/scenarios/…", url), tmp_path).stdout)
    segments = changed_["scenarios"][0]["segments"]
    assert [(one["rate"], one["paused"]) for one in segments] == [(10, False), (50, False)]
    [shown_first, _] = re.findall(r"\{\"from_tick.*?\}", change.text)
    assert [*segments[0]] == [*json.loads(shown_first)]
    assert server.request("DELETE", f"/scenarios/{started['id']}").status_code == 200


def test_a_scenario_in_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Loaded, looked at and run, in a notebook and in a script."""
    demo(tmp_path)
    monkeypatch.chdir(tmp_path)
    text = block("docs/scenarios.md", "import sonda").text
    code = compile(text, "<scenarios.md>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    names: dict[str, Any] = {}

    async def run() -> None:
        made = eval(code, names)  # noqa: S307  # our own page
        assert inspect.isawaitable(made)
        await made

    asyncio.run(run())
    assert names["report"].unwrap().ledger.delivered == 200
    assert len(capfd.readouterr().out.splitlines()) >= 400  # two runs, to standard output


# --- what only other programs read -----------------------------------------------------------------


SUBCOMMANDS: Final = frozenset(
    ("apply", "build", "create", "generic", "get", "install", "port-forward", "run", "secret", "up")
)
TOOLED: Final = [
    pytest.param(command, id=f"{one} {command[:40]}")
    for one in blocks()
    if one.page.startswith("docs/deployment/") and one.language == "bash"
    for whole in one.commands
    for command in re.findall(r"\b(?:docker|kubectl|helm) [^|&()]*", whole)
]


@pytest.mark.parametrize("command", TOOLED)
def test_the_tools_know_these_flags(command: str, tmp_path: Path) -> None:
    """Nothing is run: there is no daemon and no cluster. But each flag is one of the tool's."""
    words = shlex.split(command if command.count('"') % 2 == 0 else command.replace('"', ""))
    program = tool(words)
    subcommands = [word for word in words if word in SUBCOMMANDS]
    said = ""
    for asked in ([], subcommands):
        run = subprocess.run(
            [*program, *asked, "--help"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
            check=True,
        )
        said += run.stdout
    flags = {word.partition("=")[0] for word in words if re.match("--?[a-z]", word)}
    assert flags <= set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", said))


def tool(words: list[str]) -> list[str]:
    """Return the program that is meant; skip the test where it is not installed."""
    if words[:2] == ["docker", "compose"] and (found := deploy_tools.find("compose")):
        return [str(found / "bin" / "docker-compose")]
    if words[0] == "helm" and (found := deploy_tools.find("helm")):
        return [str(found / "bin" / "helm")]
    if words[:2] == ["docker", "compose"] or not shutil.which(words[0]):
        pytest.skip(f"{words[0]} is not installed")
    return [words[0]]


def test_the_secret_is_made_as_shown(tmp_path: Path) -> None:
    """By kubectl itself, which needs no cluster for that."""
    if not shutil.which("kubectl"):
        pytest.skip("kubectl is not installed")
    [command] = block(
        "docs/deployment/kubernetes.md", "kubectl create secret generic sonda "
    ).commands
    made = bash(f"{command} --dry-run=client --output yaml", tmp_path)
    manifest = yaml.safe_load(made.stdout)
    kubernetes_validate.validate({**manifest, "metadata": {"name": "sonda"}}, "1.30", strict=True)
    assert manifest["metadata"]["name"] == "sonda"
    assert [*manifest["data"]] == ["api-key"]


@pytest.fixture(scope="session")
def installers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an environment that has pip, pipx and uv."""
    folder = tmp_path_factory.mktemp("installers")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    if subprocess.run([*pip, "pipx", "uv"], check=False).returncode:
        pytest.skip("no package registry answers")
    return folder


@pytest.mark.long
@pytest.mark.parametrize(
    ("page", "start"),
    [
        ("README.md", "pipx"),
        ("README.md", "uvx"),
        ("README.md", "pip "),
        ("docs/notebooks.md", "pip "),
    ],
)
def test_it_installs_as_shown(page: str, start: str, installers: Path, tmp_path: Path) -> None:
    """From a checkout; what is installed says its version."""
    first = "pipx install" if page == "README.md" else "pip install"
    [command] = (one for one in block(page, first).commands if one.startswith(start))
    environ = {
        **os.environ,
        "PATH": f"{installers / 'bin'}:{os.environ['PATH']}",
        "PIPX_HOME": str(tmp_path / "pipx"),
        "PIPX_BIN_DIR": str(tmp_path / "bin"),
        "UV_CACHE_DIR": str(tmp_path / "uv"),
        "VIRTUAL_ENV": str(installers),
    }
    ran = subprocess.run(
        ["bash", "-c", command], cwd=ROOT, env=environ, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    if start == "uvx":
        assert "Usage: sonda" in ran.stdout
        return
    program = (tmp_path if start == "pipx" else installers) / "bin" / "sonda"
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    assert said.stdout == f"sonda {version('sonda-events')}\n"
