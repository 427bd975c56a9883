"""What the README says is so: its references against the schemas and flags, its snippets by running."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
from pathlib import Path
from types import CodeType
from typing import Any

import pytest

from sonda.envelope import CODES
from sonda.pipeline.schemas.registry import PLUGINS, REQUEST
from sonda.server.flags import FLAGS
from sonda.server.settings import Settings, read_settings
from tests.unit.pipeline.schemas.test_registry import properties, resolver_of

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def readme_section(title: str) -> str:
    match = re.search(rf"^##+ {title}$(.*?)(?=^##)", README, re.MULTILINE | re.DOTALL)
    assert match, f"the README has no section {title!r}"
    return match[1]


@pytest.mark.parametrize(("kind", "title"), [("encoder", "Encoders"), ("sink", "Sinks")])
def test_the_readme_names_every_option(kind: Any, title: str) -> None:
    """The README's reference has each plug-in's row, with exactly its options and their defaults."""
    rows = {
        name: row
        for row in readme_section(title).splitlines()
        if (name := row.removeprefix("| `").partition("`")[0]) in PLUGINS[kind]
    }
    assert rows.keys() == PLUGINS[kind].keys()
    for name, row in rows.items():
        schema = PLUGINS[kind][name]
        options = row.split(" | ")[1]
        written = dict(re.findall(r"`([a-z_]+)(?: = ([^`]+))?`", options))
        described = properties(schema, resolver_of(schema))
        assert written.keys() == described.keys(), name
        for field, (inner, _) in described.items():
            default = inner.get("default")
            expected = "" if default is None else str(default).lower()
            assert written[field] == expected, f"{name}.{field}"


def test_the_readme_names_every_field() -> None:
    """The README's field reference has the envelope's fields and those of log and metric."""
    section = readme_section("Fields")
    log, metric = (REQUEST["$defs"][name]["properties"] for name in ("log", "metric"))
    written = set(re.findall(r"^\| `([a-z_.]+)`", section, re.MULTILINE))
    expected = {name for name in REQUEST["properties"] if name not in ("log", "metric")}
    expected |= {f"log.{name}" for name in log} | {f"metric.{name}" for name in metric}
    assert written == expected


def test_the_readme_names_every_answer() -> None:
    """The README's table of answers has every status that a failure can have, with its code."""
    rows = re.findall(r"^\| ([0-9]{3}) \| `([a-z_]+)` \|", readme_section("Answers"), re.MULTILINE)
    assert {int(status): code for status, code in rows} == CODES


def test_the_readme_names_every_flag() -> None:
    """The README's table of flags has every flag with its variable and its default."""
    rows = re.findall(
        r"^\| `(--[a-z-]+)` \| `([A-Z_]+)` \| `?([^`|]+)`? \|",
        readme_section("The server"),
        re.MULTILINE,
    )
    written = {flag: (variable, default) for flag, variable, default in rows}
    assert written.keys() == {flag.opts[0] for flag in FLAGS}
    for flag in FLAGS:
        variable, default = written[flag.opts[0]]
        assert variable == flag.envvar
        if flag.name != "file_root":
            given = [] if default == "none" else [f"{flag.opts[0]}={default}"]
            assert read_settings(given, {}) == Settings()


def snippets() -> list[CodeType]:
    blocks = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT  # as in a notebook
    return [compile(block, f"<snippet {n}>", "exec", flags) for n, block in enumerate(blocks)]


def test_the_readmes_snippets_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The snippets run one after the other, as in a notebook, and print what they say."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}

    async def run() -> None:
        for code in snippets():
            made = eval(code, names)  # noqa: S307  # our own README
            if inspect.isawaitable(made):
                await made

    asyncio.run(run())
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("accepted after 1 try in ")
    assert printed[1] == "sink error: HTTP connect to localhost:3100: Connection refused"
    assert (tmp_path / "deploys.prom").read_text().startswith('deploy_events_total{job="ci"} 1 ')
