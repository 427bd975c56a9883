"""What stands beside the code so that others can run it: action, hook, unit, pages, workflows."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from sonda.cli.commands import COMMANDS
from sonda.server.flags import FLAGS
from tests.support.bodies import LOG
from tests.support.serving import PATIENCE_S

ROOT: Final = Path(__file__).parents[1]
UNIT: Final = ROOT / "deploy" / "systemd" / "sonda.service"
ACTION: Final[dict[str, Any]] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
WORKFLOWS: Final = ROOT / ".github" / "workflows"
PROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


# --- GitHub ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ("vendor.github-actions", ROOT / "action.yml"),
        *(("vendor.github-workflows", path) for path in sorted(WORKFLOWS.glob("*.yml"))),
    ],
    ids=lambda value: value.name if isinstance(value, Path) else "",
)
def test_github_can_read_it(schema: str, path: Path) -> None:
    """The schemas are those of schemastore.org."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(path)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert run.returncode == 0, run.stdout


def test_the_workflow_tests_every_python_that_is_promised() -> None:
    """The classifiers, and no others."""
    workflow = yaml.safe_load((WORKFLOWS / "test.yml").read_text(encoding="utf-8"))
    tested = workflow["jobs"]["test"]["strategy"]["matrix"]["python"]
    pattern = r"Programming Language :: Python :: (3\.[0-9]+)"
    found = (re.fullmatch(pattern, line) for line in PROJECT["project"]["classifiers"])
    assert tested == [match[1] for match in found if match]
    assert PROJECT["project"]["requires-python"] == f">={tested[0]}"


def act(folder: Path, **given: str) -> tuple[int, dict[str, str]]:
    """Run the action's script with inputs, as a runner does; return its status and outputs."""
    environment = folder / "temp" / "sonda" / "bin"
    environment.mkdir(parents=True)
    python = shlex.quote(sys.executable)
    for name, words in (("sonda", "-m sonda"), ("python", "")):
        program = environment / name
        program.write_text(f'#!/bin/sh\nexec {python} {words} "$@"\n')
        program.chmod(0o755)
    (step,) = (step for step in ACTION["runs"]["steps"] if step["id"] == "emit")
    inputs = {
        name: given.get(name, declared.get("default", ""))
        for name, declared in ACTION["inputs"].items()
    }
    variables = {
        variable: inputs[re.fullmatch(r"\$\{\{ inputs\.(\w+) \}\}", value)[1]]  # type: ignore[index]
        for variable, value in step["env"].items()
    }
    output = folder / "output"
    run = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
        cwd=folder,
        env={
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": str(ROOT),
            "HOME": str(folder),
            "RUNNER_TEMP": str(folder / "temp"),
            "GITHUB_OUTPUT": str(output),
            **variables,
        },
        timeout=PATIENCE_S,
        check=False,
    )
    lines = output.read_text().splitlines() if output.exists() else []
    return run.returncode, dict(line.split("=", 1) for line in lines)


def test_the_action_sends_an_event(tmp_path: Path) -> None:
    """Its inputs are in the event, whatever characters they have, and its outputs say so."""
    status, outputs = act(
        tmp_path,
        message='--it\'s $HOME `x` "y"',
        to="file=x.log",
        severity="warn",
        labels="env=prod\nteam=a,b\n",
        fields="version=1 2",
        options="--timeout\n5s",
    )
    event = json.loads((tmp_path / "x.log").read_text())
    assert status == 0
    assert event["message"] == '--it\'s $HOME `x` "y"'
    assert (event["severity"], event["labels"]) == ("warn", {"env": "prod", "team": "a,b"})
    assert event["fields"] == {"version": "1 2"}
    assert outputs.keys() == ACTION["outputs"].keys() == {"sent", "timestamp", "receipt"}
    assert outputs["sent"] == "true"
    assert outputs["timestamp"].startswith(event["timestamp"].removesuffix("Z"))
    assert json.loads(outputs["receipt"])["confirmed"] == "accepted"


@pytest.mark.parametrize(("required", "expected"), [("true", 1), ("false", 0)])
def test_the_action_tells_a_refusal(tmp_path: Path, required: str, expected: int) -> None:
    """It fails the step, unless the event is not required."""
    status, outputs = act(tmp_path, message="x", to="tcp=127.0.0.1:1", required=required)
    assert (status, outputs["sent"]) == (expected, "false")
    assert json.loads(outputs["receipt"])["error"] == "bad_gateway"


def test_the_action_tells_a_mistake(tmp_path: Path) -> None:
    """There is no receipt then, and the message is in the step's log."""
    status, outputs = act(tmp_path, message="x", to="nowhere")
    assert (status, outputs["sent"], outputs["receipt"]) == (2, "false", "")


# --- pre-commit ------------------------------------------------------------------------------------


def test_the_hook_checks_events(tmp_path: Path) -> None:
    """It is what `sonda check` is, for files that are named as events."""
    [hook] = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    command = [sys.executable, "-m", *shlex.split(hook["entry"])]
    for name, document, status in (("a.event.json", LOG, 0), ("b.event.json", {}, 2)):
        assert re.search(hook["files"], name)
        path = tmp_path / name
        path.write_text(json.dumps(document))
        run = subprocess.run([*command, str(path)], capture_output=True, check=False)
        assert run.returncode == status
    assert re.search(hook["files"], "deploy/events/start.yaml")
    assert not re.search(hook["files"], "package.json")


# --- releases --------------------------------------------------------------------------------------


def test_the_changelog_can_be_made() -> None:
    """Of all fragments; one with a name that says no kind would be left out."""
    fragments = [path for path in (ROOT / "changelog.d").iterdir() if path.suffix == ".md"]
    command = [sys.executable, "-m", "towncrier", "build", "--draft", "--version", "9.9.9"]
    run = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert run.returncode == 0, run.stderr
    for path in fragments:
        words = path.read_text(encoding="utf-8").split()
        assert " ".join(words[:5]) in " ".join(run.stdout.split()), path.name


def test_a_release_has_the_addresses_of_its_repository(tmp_path: Path) -> None:
    """The workflow's own script adds them to what is built."""
    workflow = yaml.safe_load((WORKFLOWS / "release.yml").read_text(encoding="utf-8"))
    [step] = [one for one in workflow["jobs"]["build"]["steps"] if one.get("id") == "urls"]
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    home = "https://forge.example/team/sonda"
    env = {"PATH": "/usr/bin:/bin", "REPOSITORY": home, "GITHUB_REF_NAME": "v1.2.3"}
    subprocess.run(
        ["bash", "-eo", "pipefail", "-c", step["run"]], cwd=tmp_path, env=env, check=True
    )
    project = tomllib.loads((tmp_path / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["name"] == PROJECT["project"]["name"]
    assert project["urls"]["Source"] == home
    assert project["urls"]["Changelog"] == f"{home}/blob/v1.2.3/CHANGELOG.md"


def test_there_is_a_manual_page_for_each_command(tmp_path: Path) -> None:
    """With its options; that groff lays them out without a warning is tried where it is there."""
    command = [sys.executable, "-m", "tools.man_pages", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=300)
    names = {path.name for path in tmp_path.iterdir()}
    assert names >= {"sonda.1", "sonda-emit-log.1", "sonda-emit-metric.1", "sonda-emit-file.1"}
    assert names >= {f"sonda-{name}.1" for name in COMMANDS}
    assert r"\-\-severity" in (tmp_path / "sonda-emit-log.1").read_text(encoding="utf-8")
    if groff := shutil.which("groff"):
        for path in tmp_path.iterdir():
            command = [groff, "-man", "-Kutf8", "-Tutf8", "-ww", str(path)]
            run = subprocess.run(command, capture_output=True, text=True, check=False)
            assert (run.returncode, run.stderr) == (0, ""), path.name


# --- systemd ---------------------------------------------------------------------------------------


def test_the_unit_is_valid(tmp_path: Path) -> None:
    """For systemd itself; the program that it starts stands elsewhere here."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    text = UNIT.read_text(encoding="utf-8")
    assert "ExecStart=/opt/sonda/bin/sonda-server\n" in text
    here = tmp_path / "sonda.service"
    here.write_text(text.replace("/opt/sonda/bin/sonda-server", sys.executable))
    command = ["systemd-analyze", "verify", "--man=no", str(here)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert [line for line in run.stderr.splitlines() if "sonda" in line] == []
    assert run.returncode == 0, run.stderr


def test_the_unit_sets_variables_that_exist() -> None:
    """Each is a flag's, or the file of the key."""
    known = {str(flag.envvar) for flag in FLAGS} | {"SONDA_API_KEY_FILE"}
    lines = UNIT.read_text(encoding="utf-8").splitlines()
    names = {
        line.removeprefix("Environment=").partition("=")[0]
        for line in lines
        if line.startswith("Environment=")
    }
    assert names
    assert names <= known
