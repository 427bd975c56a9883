"""The image and `deploy/`: built, run and judged as far as it goes without a registry of images.

What they need is installed by `python3 -m tools.deploy_tools`. What cannot be tried here is said in
`docs/deployment/`, under "What was tried".
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml
from kubernetes_validate.utils import all_versions  # type: ignore[import-untyped]

from sonda.server.config import read_source
from sonda.server.settings import Settings, read_settings
from tests.backends import install
from tools import deploy_tools
from tools.container_engine import Container, Engine, EngineError, container_engine, is_root

CHECKOUT: Final = Path(__file__).parents[1]
DEPLOY: Final = CHECKOUT / "deploy"
DASHBOARD: Final = DEPLOY / "grafana" / "dashboards" / "sonda.json"
SERVER_DASHBOARD: Final = DASHBOARD.with_name("sonda-server.json")
IN_CI: Final = bool(os.environ.get("CI"))

IMAGE: Final = "localhost/sonda"
USER: Final = "65532:65532"
FOLDER: Final = "/var/lib/sonda"
# Podman's words for what docs/deployment/docker.md tells Docker.
CONFINED: Final = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges")


# --- what the checks stand on --------------------------------------------------------------------


def tool(name: str) -> Path:
    """Return the folder of an installed tool; without it a test is skipped, but in CI it is made."""
    if folder := deploy_tools.find(name):
        return folder
    if not IN_CI:
        pytest.skip(f"{name} is not installed: run `python3 -m tools.deploy_tools`")
    install.install(deploy_tools.TOOLS[name])
    folder = deploy_tools.find(name)
    assert folder is not None
    return folder


def need(condition: bool, what: str) -> None:
    """Skip the test where something is lacking, and fail it in CI."""
    if not condition:
        pytest.fail(what) if IN_CI else pytest.skip(what)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """Run an engine that has only the base image."""
    need(is_root(), "only root makes the namespaces for the container engine")
    python = argument_default("PYTHON_VERSION")
    assert python == deploy_tools.BASE_PYTHON
    base = tool("python-base") / "base.tar"
    with ExitStack() as stack:
        try:
            running = stack.enter_context(
                container_engine(tool("podman"), base, f"localhost/python:{python}-slim")
            )
        except EngineError as exc:
            need(False, f"NOT CHECKED, for no container runs here: {exc}")
        yield running


@pytest.fixture(scope="module")
def image(engine: Engine) -> str:
    """Build the image from the Dockerfile."""
    engine.build(CHECKOUT, IMAGE)
    return IMAGE


@pytest.fixture(scope="module")
def loki_image(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Wrap the Loki that the tests have as its own image does: a static program, and no shell."""
    binary = install.find("loki")
    need(binary is not None, "loki is not installed: run `make backends`")
    assert binary is not None
    context = tmp_path_factory.mktemp("loki")
    (context / "loki").hardlink_to(binary / "bin" / "loki")
    (context / "empty").mkdir()
    (context / "Dockerfile").write_text(
        "FROM scratch\n"
        "COPY loki /usr/bin/loki\n"
        "COPY --chown=10001:10001 empty /etc/loki\n"
        "COPY --chown=10001:10001 empty /loki\n"
        "USER 10001\n"
        'ENTRYPOINT ["/usr/bin/loki"]\n'
        'CMD ["-config.file=/etc/loki/local-config.yaml"]\n',
        encoding="utf-8",
    )
    tag = f"localhost/grafana/loki:{install.LOKI.version.removeprefix('v')}"
    engine.build(context, tag)
    return tag


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """The file as Docker Compose reads it: checked against the Compose Specification, filled in."""
    ended = read_compose(DEPLOY / "compose.yaml")
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    project: dict[str, Any] = json.loads(ended.stdout)
    return project


@pytest.fixture(scope="module")
def rendered() -> dict[str, dict[str, Any]]:
    """The manifests that `kubectl apply --kustomize` would send, by their kind."""
    kustomize = tool("kustomize") / "bin" / "kustomize"
    command: list[str | Path] = [kustomize, "build", DEPLOY / "kubernetes"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {manifest["kind"]: manifest for manifest in yaml.safe_load_all(text)}


@pytest.fixture(scope="module")
def dashboard() -> dict[str, Any]:
    """The dashboard's file."""
    document: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return document


@pytest.fixture(scope="module")
def data_source() -> dict[str, Any]:
    """The one data source that Grafana is given."""
    (source,) = provisioned("datasources/loki.yaml")["datasources"]
    assert isinstance(source, dict)
    return source


def argument_default(name: str) -> str:
    """Return the default of a build argument."""
    text = (CHECKOUT / "Dockerfile").read_text(encoding="utf-8")
    (value,) = re.findall(rf'^ARG {name}="?(.*?)"?$', text, re.MULTILINE)
    return str(value)


def read_compose(*files: Path) -> subprocess.CompletedProcess[str]:
    """Have Docker Compose read files; nothing of this process's own settings gets into them."""
    command = [str(tool("compose") / "bin" / "docker-compose")]
    command += [word for file in files for word in ("--file", str(file))]
    return subprocess.run(
        [*command, "config", "--format", "json"],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")},
    )


def provisioned(name: str) -> dict[str, Any]:
    """Read one of the files by which Grafana is set up."""
    document = yaml.safe_load((DEPLOY / "grafana" / "provisioning" / name).read_text("utf-8"))
    assert isinstance(document, dict)
    return document


def documented(page: str, marker: str) -> str:
    """Return a command as a page shows it."""
    text = (CHECKOUT / "docs" / "deployment" / page).read_text(encoding="utf-8")
    _, _, rest = text.partition(f"<!-- {marker} -->\n```bash\n")
    command, end, _ = rest.partition("\n```")
    assert end, f"{page} has no {marker}"
    return command


def event(sink: dict[str, Any]) -> dict[str, Any]:
    """Make a small event for a sink."""
    return {
        "signal_type": "logs",
        "labels": {"event": "deploy_start"},
        "log": {"severity": "info", "message": "from a container"},
        "encoder": {"type": "json_lines"},
        "sink": sink,
    }


def post(
    engine: Engine, sink: dict[str, Any], *, key: str = "", port: int = 8080
) -> tuple[int, Any]:
    """Send a small event to what runs in the engine; give status and answer."""
    body = shlex.quote(json.dumps(event(sink)))
    auth = shlex.quote(f"Authorization: Bearer {key}")
    ended = engine.shell(
        f"curl -sS -w '\\n%{{http_code}}' -H 'Content-Type: application/json' -H {auth}"
        f" --data-raw {body} http://127.0.0.1:{port}/events"
    )
    assert ended.returncode == 0, ended.stderr
    answer, _, status = ended.stdout.rpartition("\n")
    return int(status), json.loads(answer)


def known_variables() -> set[str]:
    """Return the variables that the server reads."""
    fields = (name.removesuffix("_s").upper() for name in Settings.__dataclass_fields__)
    return {f"SONDA_{name}" for name in fields}  # the key's file is one of the fields


def assert_server_reads(environment: dict[str, str]) -> Settings:
    """Every SONDA_ variable is one of the server's, with a value that it takes; gives the settings."""
    ours = {name: value for name, value in environment.items() if name.startswith("SONDA_")}
    assert set(ours) <= known_variables()
    root, state = ours.pop("SONDA_FILE_ROOT", None), ours.get("SONDA_STATE_DIR")
    if root is not None and state is not None:
        assert not Path(state).is_relative_to(root)  # no event reaches the state
    for name in ("SONDA_FILE_ROOT", "SONDA_CONFIG", "SONDA_API_KEY_FILE"):
        ours.pop(name, None)  # they have to exist where they are read
    return read_settings([], ours)


# --- the image -----------------------------------------------------------------------------------


def test_dockerfile_has_no_lint() -> None:
    """Hadolint, with every rule that it has, says nothing."""
    hadolint = Path(sys.executable).with_name("hadolint")
    command: list[str | Path] = [hadolint, "--failure-threshold", "style", CHECKOUT / "Dockerfile"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "")


@pytest.mark.skipif(not IN_CI, reason="asks the package index; runs in CI")
@pytest.mark.parametrize("processor", ["x86_64", "aarch64"])
def test_slim_image_needs_no_compiler(processor: str, tmp_path: Path) -> None:
    """Every dependency, extras included, has a wheel for the image's Python."""
    python = argument_default("PYTHON_VERSION")
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].items()
    wanted = [word for name, words in extras if name != "all" for word in words]
    tags = ("manylinux_2_28", "manylinux_2_17", "manylinux2014")
    command = [
        *(sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--ignore-installed"),
        *("--target", str(tmp_path), "--only-binary", ":all:", "--python-version", python),
        *(word for tag in tags for word in ("--platform", f"{tag}_{processor}")),
        *("--constraint", str(CHECKOUT / "constraints.txt")),
        *project["dependencies"],
        *wanted,
    ]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_image_says_what_it_is(engine: Engine, image: str) -> None:
    """A number as user, the exec form, the port, the volume, labels, variables that the server has."""
    (found,) = json.loads(engine.podman("inspect", "--type=image", image))
    config = found["Config"]
    environment = dict(line.split("=", 1) for line in config["Env"])
    settings = assert_server_reads(environment)
    assert config["User"] == USER
    assert config["Entrypoint"] == ["sonda-server"]
    assert "Cmd" not in config
    assert config["ExposedPorts"] == {f"{settings.port}/tcp": {}}
    assert config["Volumes"] == {FOLDER: {}}
    assert config["WorkingDir"] == environment["SONDA_FILE_ROOT"] == FOLDER
    assert settings.bind == "0.0.0.0"  # noqa: S104 - a container's only reachable address
    assert settings.shutdown_timeout_s + 2 < 10  # what `docker stop` waits, less what closing takes
    assert "api_key" not in config
    labels = {name.rpartition(".")[2]: value for name, value in config["Labels"].items()}
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert labels["version"] == project["version"]
    assert labels["description"] == project["description"]
    assert labels["licenses"] == project["license"]


def test_image_holds_nothing_but_the_wheel(engine: Engine, image: str) -> None:
    """The pinned versions, compiled, without pip or what built the wheel; all of it root's."""
    script = """
import compileall, importlib.metadata as m, json, pathlib, sonda
root = pathlib.Path("/opt/sonda")
print(json.dumps({
    "versions": {d.name: d.version for d in m.distributions(path=[str(next(root.glob("lib/*/site-packages")))])},
    "uncompiled": [str(f) for f in root.rglob("*.py") if not list((f.parent / "__pycache__").glob(f.stem + ".*"))],
    "owners": sorted({f.stat().st_uid for f in root.rglob("*")}),
    "elsewhere": [f for f in ("/src", "/wheels", "/opt/build") if pathlib.Path(f).exists()],
}))
"""
    found = json.loads(
        engine.podman("run", "--rm", "--network=host", "--entrypoint=python", image, "-c", script)
    )
    text = (CHECKOUT / "constraints.txt").read_text(encoding="utf-8")
    pinned = dict(re.findall(r"^([^#=\s]+)==(\S+)$", text, re.MULTILINE))
    installed = found["versions"]
    assert installed.pop("sonda-events") == version("sonda-events")
    assert {name: pinned.get(name) for name in installed} == installed
    assert not {"pip", "setuptools", "build", "hatchling", "pytest"} & set(installed)
    assert found["uncompiled"] == found["elsewhere"] == []
    assert found["owners"] == [0]


def test_build_sees_only_what_it_needs(engine: Engine, image: str) -> None:
    """No tests, no history, nobody's environment gets into the build."""
    engine.build(CHECKOUT, "localhost/sonda-build", "--target=build")
    found = engine.podman(
        "run", "--rm", "--network=host", "localhost/sonda-build", "ls", "-A", "/src"
    )
    wanted = {"LICENSE", "README.md", "constraints.txt", "pyproject.toml", "schemas", "sonda"}
    assert set(found.split()) == wanted


def test_image_delivers_and_ends(engine: Engine, image: str) -> None:
    """Confined as documented, it delivers to a listener, is healthy, and ends with 0 on a signal."""
    listener = """
import socket
with socket.create_server(("127.0.0.1", 9999)) as server:
    print("listening", flush=True)
    with server.accept()[0] as peer:
        print(peer.makefile().readline(), flush=True)
"""
    with (
        engine.run(image, *CONFINED) as sonda,
        engine.start(sys.executable, "-c", listener) as destination,
    ):
        sonda.wait_until_healthy()
        assert destination.readline() == "listening\n"
        status, answer = post(engine, {"type": "tcp", "address": "127.0.0.1:9999"})
        assert (status, answer["sent"]) == (200, True)
        assert json.loads(destination.readline())["message"] == "from a container"
        assert sonda.stop() == 0
        assert "stopping" in sonda.logs()


def test_confined_container_cannot_write_but_to_its_volume(engine: Engine, image: str) -> None:
    """Files land in the volume, as a user who may nothing; the rest of the system stays as it is."""
    with engine.run(image, *CONFINED) as sonda:
        sonda.wait_until_healthy()
        assert post(engine, {"type": "file", "path": "deploys.log"})[0] == 200
        assert "from a container" in sonda.exec("cat", f"{FOLDER}/deploys.log").stdout
        status, answer = post(engine, {"type": "file", "path": "/etc/passwd"})
        assert (status, answer["error"]) == (403, "forbidden")
        assert sonda.exec("id", "-u").stdout == "65532\n"
        for path in ("/x", "/tmp/x", "/opt/sonda/x"):  # noqa: S108 - not ours: the container's
            assert "Read-only file system" in sonda.exec("touch", path).stderr
        (status_file,) = re.findall(r"CapEff:\s(\w+)", sonda.exec("cat", "/proc/1/status").stdout)
        assert int(status_file, 16) == 0


def test_image_runs_without_being_confined(engine: Engine, image: str) -> None:
    """Nothing of the options above is needed; an interrupt ends it with 0, too."""
    with engine.run(image) as sonda:
        sonda.wait_until_healthy()
        engine.podman("kill", "--signal=INT", sonda.name)
        assert sonda.wait() == 0


def test_health_check_asks_the_port_that_is_set(engine: Engine, image: str) -> None:
    """It follows SONDA_PORT, takes no detour by a proxy, and is unhappy where nobody answers."""
    proxy = "--env=http_proxy=http://127.0.0.1:1"
    with engine.run(image, *CONFINED, "--env=SONDA_PORT=8181", proxy) as sonda:
        sonda.wait_until_healthy()
        assert post(engine, {"type": "stdout"}, port=8181)[0] == 200
    with engine.run(image, *CONFINED, command=("--port", "8282")) as elsewhere:
        wait_for_log(elsewhere, ":8282")
        assert not elsewhere.is_healthy


def test_flags_stand_behind_the_image(engine: Engine, image: str) -> None:
    """Words behind the image's name are the server's flags."""
    words = ("run", "--rm", "--network=host", image, "--version")
    assert engine.podman(*words) == f"sonda {version('sonda-events')}\n"


def test_extras_are_a_build_argument(engine: Engine, image: str) -> None:
    """By default none is installed, and EXTRAS names some."""
    assert argument_default("EXTRAS") == ""
    engine.build(CHECKOUT, "localhost/sonda-extras", "--build-arg=EXTRAS=remote-write,kafka")
    script = "import aiokafka, google.protobuf, snappy"
    words = ("run", "--rm", "--network=host", "--entrypoint=python")
    engine.podman(*words, "localhost/sonda-extras", "-c", script)
    ended = engine.shell(shlex.join(["podman", *words, image, "-c", script]))
    assert "ModuleNotFoundError" in ended.stderr


def wait_for_log(container: Container, text: str) -> None:
    """Wait until the container has logged something."""
    ended = container.engine.shell(
        f"timeout 30 sh -c 'until podman logs {container.name} 2>&1 | grep -q -e {text}; do sleep 0.1; done'"
    )
    assert ended.returncode == 0, container.logs()


# --- Docker Compose ------------------------------------------------------------------------------


def test_compose_refuses_what_the_specification_does_not_know(tmp_path: Path) -> None:
    """The check can fail: a misspelt key is an error."""
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    wrong = tmp_path / "compose.yaml"
    wrong.write_text(text.replace("read_only: true", "read_onli: true"), encoding="utf-8")
    ended = read_compose(wrong)
    assert ended.returncode != 0
    assert "read_onli" in ended.stderr


def test_compose_confines_every_service(compose: dict[str, Any]) -> None:
    """Read-only, without capabilities, open to this machine alone, and known to be healthy."""
    assert set(compose["services"]) == {"sonda", "loki", "grafana"}
    for name, service in compose["services"].items():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert [port["host_ip"] for port in service["ports"]] == ["127.0.0.1"]
        assert [port["published"] for port in service["ports"]] == [
            str(service["ports"][0]["target"])
        ]
        assert "healthcheck" in service or name == "sonda"  # whose image brings its own


def test_compose_versions_are_those_tested(compose: dict[str, Any]) -> None:
    """Loki is the one that the tests build, and Grafana the one whose schema judges the dashboard."""
    services = compose["services"]
    assert services["loki"]["image"] == f"grafana/loki:{install.LOKI.version.removeprefix('v')}"
    assert services["grafana"]["image"] == f"grafana/grafana:{deploy_tools.GRAFANA_VERSION}"


def test_compose_builds_this_checkout(compose: dict[str, Any]) -> None:
    """Sonda comes from this Dockerfile, with variables and the port that the server knows."""
    sonda = compose["services"]["sonda"]
    assert sonda["build"] == {"context": str(CHECKOUT), "dockerfile": "Dockerfile"}
    settings = assert_server_reads(sonda["environment"])
    assert "SONDA_API_KEY" not in sonda["environment"]
    assert [port["target"] for port in sonda["ports"]] == [settings.port]


def test_compose_services_annotate(
    engine: Engine,
    image: str,
    loki_image: str,
    compose: dict[str, Any],
    dashboard: dict[str, Any],
    data_source: dict[str, Any],
    tmp_path: Path,
) -> None:
    """The documented commands work on Sonda and Loki as the file has them; Loki answers the panels."""
    services = compose["services"]
    key = tmp_path / "deploy" / "sonda" / "api-key"
    key.parent.mkdir(parents=True)
    key.write_text("the-key\n", encoding="utf-8")
    with (
        engine.run(loki_image, *options(services["loki"], loki_image)) as loki,
        engine.run(image, *options(services["sonda"], image, compose, key)) as sonda,
    ):
        loki.wait_until_healthy()
        sonda.wait_until_healthy()

        sent = engine.shell(f"cd {tmp_path}\n{documented('compose.md', 'compose demo: send')}")
        assert sent.returncode == 0, sent.stderr
        answer = json.loads(sent.stdout)
        assert answer.pop("latency_ms") >= 0
        assert answer == {"sent": True, "signal_type": "logs"}  # and no warnings

        refused, said = post(engine, {"type": "stdout"})  # without the key
        assert (refused, said["error"]) == (401, "unauthorized")

        found = engine.shell(documented("compose.md", "compose demo: find"))
        assert found.returncode == 0, found.stderr
        (stream,) = json.loads(found.stdout)["data"]["result"]
        assert stream["stream"]["event"] == "deploy_start"

        # As Grafana asks: by the data source's URL, from a container.
        assert data_source["url"] == "http://loki:3100"
        (annotation,) = dashboard["annotations"]["list"]
        answers = ask_loki(engine, annotation["expr"])
        ((_, line),) = answers[0]["values"]
        assert json.loads(line)["message"] == "Deploy started"
        for name in re.findall(r"\w+", annotation["titleFormat"] + annotation["tagKeys"]):
            assert name in answers[0]["stream"]
        for panel in dashboard["panels"]:
            for target in panel["targets"]:
                assert ask_loki(engine, target["expr"]), f"{panel['title']} is empty"

        assert sonda.stop() == 0


def ask_loki(engine: Engine, query: str) -> list[Any]:
    """Ask the Loki beside for a range that has just begun."""
    ended = engine.shell(
        f"curl -sS -G --resolve loki:3100:127.0.0.1 --data-urlencode {shlex.quote('query=' + query)}"
        " --data-urlencode since=15m http://loki:3100/loki/api/v1/query_range"
    )
    answer = json.loads(ended.stdout)
    assert answer["status"] == "success"
    found: list[Any] = answer["data"]["result"]
    return found


def options(  # noqa: C901, PLR0912 - a table
    service: dict[str, Any],
    image: str,
    project: dict[str, Any] | None = None,
    secret_file: Path | None = None,
) -> list[str]:
    """Translate a service to Podman's options; fails for a key that nobody has thought of here.

    The services share a loopback, so ports need no publishing and names are addresses of it.
    """
    words = ["--add-host=loki:127.0.0.1"]
    for key, value in service.items():
        match key:
            case "image":
                assert image == f"localhost/{value}"
            case "build" | "networks" | "ports" | "extra_hosts":
                pass
            case "command" | "entrypoint":
                assert value is None
            case "environment":
                words += [f"--env={name}={text}" for name, text in value.items()]
            case "read_only":
                words += ["--read-only"] if value else []
            case "cap_drop":
                words += [f"--cap-drop={name}" for name in value]
            case "security_opt":
                words += [f"--security-opt={text.removesuffix(':true')}" for text in value]
            case "secrets":
                assert project is not None
                for one in value:
                    (known,) = project["secrets"].values()
                    assert known["file"] == str(DEPLOY / "sonda" / "api-key")
                    words += [f"--volume={secret_file}:/run/secrets/{one['source']}:ro"]
            case "volumes":
                words += [f"--volume={mount(volume)}" for volume in value]
            case "healthcheck":
                words += [
                    f"--health-cmd={json.dumps(value['test'][1:])}",
                    "--health-interval=disable",
                ]
                assert value["test"][0] == "CMD"
            case _:
                pytest.fail(f"{key} is not translated")
    return words


def mount(volume: dict[str, Any]) -> str:
    """Translate one of a service's volumes."""
    if volume["type"] == "bind":
        assert Path(volume["source"]).exists()
    read_only = ":ro" if volume.get("read_only") else ""
    return f"{volume['source']}:{volume['target']}{read_only}"


# --- Grafana -------------------------------------------------------------------------------------


def compile_dashboard(text: str, folder: Path) -> str:
    """Have TypeScript hold a dashboard against Grafana's schema; gives what it does not like."""
    schema = tool("grafana-schema")
    types = (CHECKOUT / "tools" / "grafana_dashboard.ts").read_text(encoding="utf-8")
    (folder / "dashboard.ts").write_text(types + text, encoding="utf-8")
    if not (folder / "node_modules").exists():
        (folder / "node_modules").symlink_to(schema / "node_modules")
    command = [
        *("node", str(schema / "node_modules" / "typescript" / "bin" / "tsc")),
        *("--noEmit", "--strict", "--skipLibCheck", "--target", "es2022"),
        *("--module", "nodenext", "--moduleResolution", "nodenext", "dashboard.ts"),
    ]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout


@pytest.mark.parametrize("file", [DASHBOARD, SERVER_DASHBOARD], ids=lambda file: file.stem)
def test_dashboard_fits_grafanas_schema(file: Path, tmp_path: Path) -> None:
    """Each field is known to this version of Grafana, and has the type that it expects."""
    assert compile_dashboard(file.read_text(encoding="utf-8"), tmp_path) == ""


def test_server_dashboard_asks_the_chosen_source() -> None:
    """Every panel asks the Prometheus that its viewer picks, for there may be none or several."""
    document = json.loads(SERVER_DASHBOARD.read_text(encoding="utf-8"))
    (variable,) = document["templating"]["list"]
    assert (variable["type"], variable["query"]) == ("datasource", "prometheus")
    chosen = {"type": "prometheus", "uid": f"${{{variable['name']}}}"}
    assert {json.dumps(panel["datasource"]) for panel in document["panels"]} == {json.dumps(chosen)}
    assert [panel["id"] for panel in document["panels"]] == [*range(1, 17)]


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ('"drawStyle": "bars"', '"drawStyle": "baars"'),
        ('"decimals": 0', '"decimal": 0'),
        ('"iconColor": "red",', ""),
        ('"titleFormat"', '"titelFormat"'),
        ('"type": "logs"', '"type": "log"'),
    ],
)
def test_schema_refuses_a_wrong_dashboard(right: str, wrong: str, tmp_path: Path) -> None:
    """The check can fail, at every depth."""
    text = DASHBOARD.read_text(encoding="utf-8")
    assert right in text
    assert "error TS" in compile_dashboard(text.replace(right, wrong), tmp_path)


def test_dashboard_draws_the_annotation(dashboard: dict[str, Any]) -> None:
    """The query is the guide's, in both places where a Grafana may look for it."""
    (annotation,) = dashboard["annotations"]["list"]
    assert annotation["expr"] == annotation["target"]["expr"] == '{event="deploy_start"}'
    assert annotation["enable"] is True
    guide = (CHECKOUT / "docs/guides/annotation.md").read_text(encoding="utf-8")
    assert f"annotation query `{annotation['expr']}`" in guide


def test_dashboard_asks_the_provisioned_source(
    dashboard: dict[str, Any], data_source: dict[str, Any]
) -> None:
    """Every query names the uid that Grafana is given."""
    named = {"type": data_source["type"], "uid": data_source["uid"]}
    asked = [*dashboard["annotations"]["list"], *dashboard["panels"]]
    assert [query["datasource"] for query in asked] == [named] * 3


def test_grafana_finds_its_files(compose: dict[str, Any], data_source: dict[str, Any]) -> None:
    """The paths of the container agree; the source is the Loki of the same file."""
    service = compose["services"]["grafana"]
    mounted = {volume["target"]: volume["source"] for volume in service["volumes"]}
    (provider,) = provisioned("dashboards/sonda.yaml")["providers"]
    home = service["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    folder = provider["options"]["path"]
    assert home == f"{folder}/{DASHBOARD.name}"
    assert Path(mounted[folder]) == DASHBOARD.parent
    for kind in ("datasources", "dashboards"):
        inside = f"/etc/grafana/provisioning/{kind}"
        assert Path(mounted[inside]) == DEPLOY / "grafana" / "provisioning" / kind
    (port,) = compose["services"]["loki"]["ports"]
    assert data_source["url"] == f"http://loki:{port['target']}"


def test_provisioning_has_documented_keys(data_source: dict[str, Any]) -> None:
    """No schema of these files is published: their keys are those of Grafana's documentation."""
    assert set(provisioned("datasources/loki.yaml")) == {"apiVersion", "datasources"}
    assert set(data_source) == {"name", "uid", "type", "access", "url", "isDefault"}
    providers = provisioned("dashboards/sonda.yaml")
    assert set(providers) == {"apiVersion", "providers"}
    (provider,) = providers["providers"]
    assert set(provider) == {"name", "type", "allowUiUpdates", "options"}
    assert set(provider["options"]) == {"path"}


# --- Kubernetes ----------------------------------------------------------------------------------

KUBERNETES: Final = sorted(
    {".".join(name.split(".")[:2]) for name in all_versions()}, key=lambda name: int(name[2:])
)
SUPPORTED: Final = [name for name in KUBERNETES if int(name[2:]) >= 30]  # `preStop.sleep`


def secret() -> dict[str, Any]:
    """Read the template of the Secret."""
    manifest = yaml.safe_load((DEPLOY / "kubernetes" / "secret.yaml").read_text(encoding="utf-8"))
    assert isinstance(manifest, dict)
    return manifest


def the_container(rendered: dict[str, dict[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the Pod and its one container."""
    pod = rendered["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    return pod, container


@pytest.mark.parametrize("kubernetes", SUPPORTED)
def test_manifests_fit_the_schemas(kubernetes: str, rendered: dict[str, dict[str, Any]]) -> None:
    """Each manifest is valid in every release from 1.30 on, and has no field that it does not know."""
    assert SUPPORTED[0] == "1.30"
    assert set(rendered) == {"ConfigMap", "Deployment", "Service", "HorizontalPodAutoscaler"}
    for manifest in (*rendered.values(), secret(), *scenario_job().values()):
        kubernetes_validate.validate(manifest, kubernetes, strict=True)


def scenario_job() -> dict[str, dict[str, Any]]:
    """Return the manifests of a scenario in shards, by kind."""
    text = (DEPLOY / "kubernetes" / "scenario-job.yaml").read_text(encoding="utf-8")
    return {manifest["kind"]: manifest for manifest in yaml.safe_load_all(text)}


def test_the_job_runs_every_shard_of_its_scenario() -> None:
    """As many pods as shards, none twice; together they are the whole plan."""
    from sonda.pipeline.scenarios.shards import shard_of
    from sonda.pipeline.scenarios.states import Shard
    from sonda.scenarios import load_scenario

    manifests = scenario_job()
    spec = manifests["Job"]["spec"]
    count = spec["completions"]
    assert (spec["completionMode"], spec["backoffLimit"]) == ("Indexed", 0)
    [container] = spec["template"]["spec"]["containers"]
    assert container["args"][2:4] == ["--shard", f"$(JOB_COMPLETION_INDEX)/{count}"]
    document = yaml.safe_load(manifests["ConfigMap"]["data"]["scenario.yaml"])
    plan = load_scenario(document).unwrap()
    parts = [shard_of(plan, Shard(index, count)).planned for index in range(count)]
    assert sum(part or 0 for part in parts) == plan.planned == 6_000_000


def test_schemas_refuse_a_wrong_manifest(rendered: dict[str, dict[str, Any]]) -> None:
    """The check can fail: an unknown field, however deep, is an error."""
    wrong = json.loads(json.dumps(rendered["Deployment"]))
    wrong["spec"]["template"]["spec"]["containers"][0]["securityContext"]["readOnly"] = True
    with pytest.raises(kubernetes_validate.ValidationError, match="readOnly"):
        kubernetes_validate.validate(wrong, SUPPORTED[-1], strict=True)


def test_manifests_agree(rendered: dict[str, dict[str, Any]]) -> None:
    """Selectors find the Pods, the Service their port, the autoscaler the Deployment."""
    deployment, service = rendered["Deployment"], rendered["Service"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert service["spec"]["selector"].items() <= labels.items()
    _, container = the_container(rendered)
    assert container["ports"] == [{"name": "http", "containerPort": Settings().port}]
    assert service["spec"]["ports"][0]["targetPort"] == "http"
    target = rendered["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", deployment["metadata"]["name"])
    assert target["apiVersion"] == deployment["apiVersion"]
    assert "replicas" not in deployment["spec"]  # or each `apply` would undo the autoscaler's work
    assert "cpu" in container["resources"]["requests"]  # what its percentage is of
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert container["image"] == f"sonda:{project['version']}"


def test_pods_are_restricted(rendered: dict[str, dict[str, Any]]) -> None:
    """They meet the Pod Security Standard `restricted`, and more."""
    pod, container = the_container(rendered)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    user, _, group = USER.partition(":")
    assert pod["securityContext"]["runAsUser"] == int(user)
    assert pod["securityContext"]["runAsGroup"] == pod["securityContext"]["fsGroup"] == int(group)


def test_pods_have_the_time_they_need(rendered: dict[str, dict[str, Any]]) -> None:
    """The grace period holds the wait before the signal, the shutdown, and what closing takes."""
    pod, container = the_container(rendered)
    environment = {entry["name"]: entry["value"] for entry in container["env"] if "value" in entry}
    settings = assert_server_reads(environment)
    before_s = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert before_s + settings.shutdown_timeout_s + 2 < pod["terminationGracePeriodSeconds"]


def test_key_comes_from_the_secret(rendered: dict[str, dict[str, Any]]) -> None:
    """The Pod waits for a Secret of the template's name, and the template cannot be applied as it is."""
    pod, container = the_container(rendered)
    environment = {entry["name"]: entry["value"] for entry in container["env"]}
    mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    folder, _, name = environment["SONDA_API_KEY_FILE"].rpartition("/")
    assert mounts["key"]["mountPath"] == folder
    assert mounts["key"]["readOnly"] is True
    assert volumes["key"]["secret"]["secretName"] == secret()["metadata"]["name"]
    assert "optional" not in volumes["key"]["secret"]
    assert "SONDA_API_KEY" not in environment
    with pytest.raises(binascii.Error):
        base64.b64decode(secret()["data"][name], validate=True)


def test_configuration_is_the_config_map(
    rendered: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    """The file in the ConfigMap is where the server looks for it, and the server takes it."""
    pod, container = the_container(rendered)
    environment = {entry["name"]: entry["value"] for entry in container["env"]}
    folder, _, name = environment["SONDA_CONFIG"].rpartition("/")
    (mount,) = (one for one in container["volumeMounts"] if one["name"] == "config")
    assert mount["mountPath"] == folder
    (volume,) = (one for one in pod["volumes"] if one["name"] == "config")
    assert volume["configMap"]["name"] == rendered["ConfigMap"]["metadata"]["name"]
    assert_names_destinations(rendered["ConfigMap"]["data"][name], tmp_path, {"loki"})
    demonstrated = (DEPLOY / "sonda" / "sonda.toml").read_text(encoding="utf-8")
    assert_names_destinations(demonstrated, tmp_path, {"loki", "audit"})


def assert_names_destinations(text: str, folder: Path, names: set[str]) -> None:
    """The server would take the file, and has these destinations of it."""
    path = folder / "sonda.toml"
    path.write_text(text, encoding="utf-8")
    source = read_source(Settings(config=path), {})
    assert source.faults == ()
    assert source.names == names


def test_pod_runs_and_answers_its_probes(
    engine: Engine, image: str, rendered: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    """As the Deployment has it, the container serves its probes without the key, and events with it."""
    _, container = the_container(rendered)
    tmp_path.chmod(0o755)  # the container is another user
    (tmp_path / "api-key").write_text("the-key", encoding="utf-8")
    config = rendered["ConfigMap"]["data"]["sonda.toml"]
    (tmp_path / "sonda.toml").write_text(config, encoding="utf-8")
    environment = [f"--env={e['name']}={e['value']}" for e in container["env"]]
    volumes = [  # as an emptyDir is: everybody may write
        f"--volume={tmp_path}:{volume['mountPath']}:ro"
        if volume.get("readOnly")
        else f"--mount=type=tmpfs,destination={volume['mountPath']},tmpfs-mode=0777"
        for volume in container["volumeMounts"]
    ]
    # Who it is and what it may do: see test_pods_are_restricted.
    with engine.run(image, *CONFINED, f"--user={USER}", *environment, *volumes) as sonda:
        sonda.wait_until_healthy()
        probes = [
            container[f"{name}Probe"]["httpGet"] for name in ("startup", "readiness", "liveness")
        ]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        for probe in probes:
            url = f"http://127.0.0.1:{ports[probe['port']]}{probe['path']}"
            well = {"/health": '{"status":"ok"}', "/ready": '{"status":"ready"}'}[probe["path"]]
            assert engine.shell(f"curl -sS --fail {url}").stdout == well
        assert post(engine, {"type": "file", "path": "x.log"})[0] == 401
        assert post(engine, {"type": "file", "path": "x.log"}, key="the-key")[0] == 200
        state = {"type": "file", "path": "/var/lib/sonda/state/x"}
        assert post(engine, state, key="the-key")[0] == 403
        assert sonda.stop() == 0


def test_service_links_would_break_the_port(
    engine: Engine, image: str, rendered: dict[str, dict[str, Any]]
) -> None:
    """Kubernetes would set SONDA_PORT for a Service named sonda; the server does not start with that."""
    pod, _ = the_container(rendered)
    assert rendered["Service"]["metadata"]["name"] == "sonda"
    assert pod["enableServiceLinks"] is False
    with engine.run(image, "--env=SONDA_PORT=tcp://10.0.0.1:8080") as sonda:
        assert sonda.wait() == 2
        assert "SONDA_PORT'): must be a whole number" in sonda.logs()
