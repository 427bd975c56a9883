"""The documents: links that lead somewhere, commands that are valid, reference pages as made."""

from __future__ import annotations

import errno
import json
import os
import re
import shlex
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import pytest
import yaml
from click.testing import CliRunner
from returns.result import Success

import sonda
from sonda.cli.commands import sonda as command_line
from sonda.envelope import CODES
from sonda.pipeline.deadline import Deadline
from sonda.pipeline.net import http_outcome
from sonda.pipeline.net.batch import SINGLY, Batch
from sonda.pipeline.net.http1_response import ANSWER_BYTES
from sonda.pipeline.net.pool import HANG_UP_S
from sonda.pipeline.schemas.registry import PLUGINS, REQUEST
from sonda.pipeline.values.timestamps import NS_PER_S, REMEMBERED, STEP_NS
from sonda.server.app import share_of
from sonda.server.docs.examples import situations
from sonda.server.flags import FLAGS
from sonda.statuses import http_status
from tests.support.bodies import LOG
from tests.support.destinations import http_destination
from tests.unit.pipeline.schemas.test_registry import properties, resolver_of
from tools import reference

ROOT: Final = Path(__file__).parents[1]
DOCS: Final = ROOT / "docs"
PAGES: Final = sorted(
    [*DOCS.rglob("*.md"), *(path for path in ROOT.glob("*.md") if path.name != "CHANGELOG.md")]
)
GUIDES: Final = sorted((DOCS / "guides").glob("*.md"))
LINK: Final = re.compile(r"\]\(([^)\s]+)\)")
WIDTH: Final = 100
NO_SUCH_NAME: Final = "Name or service not known"
TROUBLESHOOTING: Final = DOCS / "guides" / "troubleshooting.md"


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def prose(page: Path) -> str:
    """Return a page without its blocks of code."""
    return re.sub(
        r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )


def blocks(page: Path, language: str) -> list[str]:
    pattern = rf"^ *```{language}\n(.*?)^ *```"
    return re.findall(pattern, page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """Return the names that GitHub gives a page's headings."""
    titles = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", title.lower()) for title in titles)
    return {title.strip().replace(" ", "-") for title in plain}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page: Path) -> None:
    """To a file of the project, and to a heading of it."""
    for target in LINK.findall(prose(page)):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        name, _, anchor = target.partition("#")
        found = (page.parent / name).resolve() if name else page
        assert found.exists(), target
        assert found.is_relative_to(ROOT), target
        if anchor:
            assert anchor in anchors(found), target


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_lines_are_short(page: Path) -> None:
    """Prose is wrapped; a table's row and a link by itself cannot be."""
    long = [
        line
        for line in prose(page).splitlines()
        if len(line) > WIDTH and not line.startswith(("|", "<img "))
    ]
    assert not long


def test_the_readme_is_short() -> None:
    """It leads to the documents, and is none of them."""
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_no_sentence_becomes_a_list(page: Path) -> None:
    """A line that begins with a number and a full stop is one, wherever it was wrapped."""
    lines = prose(page).splitlines()
    numbered = [place for place, line in enumerate(lines) if re.match(r" *\d+\. ", line)]
    for place in numbered:
        number = int(lines[place].split(".")[0])
        assert number == 1 or any(re.match(rf" *{number - 1}\. ", line) for line in lines[:place])


def test_the_readme_leads_to_every_guide() -> None:
    """Directly, or by one page in between."""
    reached = {ROOT / "README.md"}
    for _ in range(2):
        for page in list(reached):
            targets = (target.partition("#")[0] for target in LINK.findall(prose(page)))
            found = ((page.parent / target).resolve() for target in targets if target)
            reached |= {path for path in found if path.suffix == ".md" and path.is_file()}
    assert set(GUIDES) <= reached


# --- troubleshooting -------------------------------------------------------------------------------


def remedies() -> dict[str, list[str]]:
    """Return the words that the tables name, by the title of their section."""
    found: dict[str, list[str]] = {}
    title = ""
    column = 0
    for line in prose(TROUBLESHOOTING).splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if line.startswith("## "):
            title = line.removeprefix("## ")
        elif any(cell.endswith(" says") for cell in cells):
            column = next(place for place, cell in enumerate(cells) if cell.endswith(" says"))
        elif line.startswith("| ") and not line.startswith("| ---"):
            found.setdefault(title, []).extend(re.findall("`([^`]+)`", cells[column]))
    return found


def details() -> Iterator[tuple[int, str]]:
    """Yield the status and the detail of all that can go wrong, each issue of a body by itself."""
    for _, problem in situations():
        for said in getattr(problem, "issues", (problem,)):
            yield http_status(problem), str(said)


@pytest.mark.parametrize(("status", "detail"), [*details()])
def test_troubleshooting_has_a_row_for_every_problem(status: int, detail: str) -> None:
    """In the section that names its status."""
    sections = [words for title, words in remedies().items() if str(status) in title]
    assert any(word in detail for words in sections for word in words)


def test_troubleshooting_has_a_section_for_every_status() -> None:
    """Those of the answers, and no others."""
    named_ = {int(code) for title in remedies() for code in re.findall(r"\b\d{3}\b", title)}
    assert named_ == CODES.keys()


def test_troubleshooting_quotes_words_that_are_said() -> None:
    """By the code, or by the operating system."""
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "sonda").rglob("*.py")]
    said = re.sub(r'"\n\s*f?"', "", "\n".join(texts))
    said += "\n".join(text for _, text in details())
    said += str(sonda.encode({**LOG, "labels": {"version": 3}}).failure())
    said += os.strerror(errno.ECONNREFUSED) + NO_SUCH_NAME
    assert not [word for words in remedies().values() for word in words if word not in said]


# --- commands and files in the guides --------------------------------------------------------------


def commands(page: Path) -> Iterator[str]:
    """Yield the commands of `sonda` that deliver, each on one line, from shell and YAML blocks."""
    for block in [*blocks(page, "bash"), *blocks(page, "yaml")]:
        for line in block.replace("\\\n", " ").splitlines():
            typed = line.strip().removeprefix("- ")
            if typed.startswith("sonda emit"):
                yield typed


@pytest.mark.parametrize("page", GUIDES, ids=named)
def test_the_commands_are_valid(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each one would send an event; only a dry run of it is made."""
    pytest.importorskip("snappy")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOKI_AUTH", "Basic bWFkZTp1cA==")
    monkeypatch.setenv("PROM_AUTH", "Basic bWFkZTp1cA==")
    for text in blocks(page, "toml"):
        (tmp_path / "sonda.toml").write_text(text)
    line = {
        "signal_type": "logs",
        "labels": {},
        "log": {"severity": "info", "message": "x"},
        "encoder": {"type": "json_lines"},
        "sink": {"type": "stdout"},
    }
    for name in ("events.jsonl", "failed.jsonl"):
        (tmp_path / name).write_text(json.dumps(line))
    for typed in commands(page):
        words = shlex.split(typed.replace("$(date +%s)", "1795935351"))[1:]
        without_failed = [word for word in words if word not in ("--failed", "failed.jsonl")]
        files = [word for word in words[1:2] if word.endswith(".jsonl")]
        words = ["emit", *files, *without_failed[1 + len(files) :]] if files else without_failed
        ran = CliRunner().invoke(command_line, [*words, "--dry-run"])
        assert ran.exit_code == 0, f"{typed}: {ran.output}"


@pytest.mark.parametrize("page", GUIDES, ids=named)
def test_the_events_are_valid(page: Path, tmp_path: Path) -> None:
    """JSON blocks that are whole events are what `sonda check` takes."""
    for text in blocks(page, "json"):
        (tmp_path / "event.json").write_text(text)
        ran = CliRunner().invoke(command_line, ["check", str(tmp_path / "event.json")])
        assert ran.exit_code == 0, ran.output


@pytest.mark.parametrize("page", GUIDES, ids=named)
def test_yaml_and_toml_can_be_read(page: Path) -> None:
    """As the tools that get them do."""
    assert all(isinstance(yaml.safe_load(text), dict) for text in blocks(page, "yaml"))
    assert all(tomllib.loads(text) for text in blocks(page, "toml"))


# --- reference -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", reference.pages())
def test_the_reference_is_made_from_the_schemas(name: str) -> None:
    """`make reference` would write what stands there."""
    assert (DOCS / "reference" / name).read_text(encoding="utf-8") == reference.pages()[name]


@pytest.mark.parametrize(
    ("kind", "name"), [(k, n) for k in ("encoder", "sink") for n in PLUGINS[k]]
)
def test_the_reference_has_every_option(kind: Any, name: str) -> None:
    """In a plug-in's own section, with its default."""
    text = reference.pages()[f"{kind}s.md"]
    section = re.search(rf"^## {name}$(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert section
    rows = {row.split("|")[1].strip(): row for row in section[1].splitlines() if "|" in row}
    schema = PLUGINS[kind][name]
    for field, (inner, _) in properties(schema, resolver_of(schema)).items():
        default = inner.get("default")
        assert default is None or f"`{str(default).lower()}`" in rows[f"`{field}`"]


def test_the_reference_has_every_field_answer_and_flag() -> None:
    """No field of an event, no status and no flag is left out."""
    pages = reference.pages()
    for name in REQUEST["properties"]:
        assert f"| `{name}` |" in pages["event.md"]
    assert reference.EVENT_AFTER.keys() == CODES.keys()
    for flag in FLAGS:
        assert f"| `{flag.opts[0]}` | `{flag.envvar}` |" in pages["server.md"]


COUNTER: Final = re.compile(
    r"emit metric (\S+_total|\S+ 1(?=\s))|\"name\": \"\w+_total\", \"value\""
)


def test_no_single_metric_is_a_counter() -> None:
    """A counter that is 1 each time never rises: `increase()` of it is 0, so nothing suggests it."""
    helped = CliRunner().invoke(command_line, ["emit", "--help"]).output
    texts = {named(page): page.read_text(encoding="utf-8") for page in PAGES}
    texts |= {"emit --help": helped, "situations": json.dumps(list(situations()), default=str)}
    assert "emit metric deploy_timestamp_seconds" in helped
    assert {name: found[0] for name, text in texts.items() if (found := COUNTER.search(text))} == {}
    metric = REQUEST["$defs"]["metric"]["properties"]
    assert not [name for name in metric["name"]["examples"] if name.endswith("_total")]
    assert 1 not in metric["value"]["examples"]


def test_what_delivery_says_is_what_is_done() -> None:
    """Its numbers are the code's."""
    page = " ".join((DOCS / "delivery.md").read_text("utf-8").split())
    no_event = sorted(int(status) for status in http_outcome._WHATEVER_THE_EVENT)
    least = next(most for most in range(1, 100) if share_of(most) is not None)
    numbers = ("", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    for said in (
        f"only the latest {REMEMBERED:,} of those before are known",
        f"set back by more than {'a second' if STEP_NS == NS_PER_S else STEP_NS}",
        f"up to {numbers[SINGLY]} one by one, more in halves",
        f"any event ({', '.join(map(str, no_event))})",
        f"for {HANG_UP_S:.0f} seconds, no connection to that destination is kept",
        f"(of a long one {ANSWER_BYTES // 1024} KiB)",
        f"(per worker, if that is {least} or more)",
        f"with a `batch_size` of 1000 in {numbers[_requests_until_alone(1000)]} requests at most",
    ):
        assert said in page, said


def _requests_until_alone(size: int) -> int:
    """Return in how many requests one event is if each but the last one rejects another one."""
    requests = 1
    while size > 1:
        events: list[Any] = [SimpleNamespace(may_be_stored=False) for _ in range(size)]
        Batch(events, Deadline(0, 0)).split()
        size = max(Counter(event.part for event in events).values())
        requests += 1
    return requests


PATH: Final = re.compile(
    r"`((?:sonda|net|sinks|policy|pipeline|tests|bench|stages|scenarios)/[\w./-]*)`"
)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_a_path_in_a_text_is_there(page: Path) -> None:
    """From the root, or from a folder of the pipeline's."""
    places = (ROOT, ROOT / "sonda" / "pipeline", ROOT / "sonda" / "server")
    paths = PATH.findall(prose(page))
    assert [path for path in paths if not any((one / path).exists() for one in places)] == []


def test_max_attempts_of_1_is_one_retry() -> None:
    """As the row of troubleshooting says."""
    assert "so 1 means one retry" in TROUBLESHOOTING.read_text(encoding="utf-8")
    with http_destination() as destination:
        url = f"{destination.url}/flaky/one/1"
        retry = {"max_attempts": 1, "initial_backoff": "1ms"}
        receipt = sonda.send({**LOG, "sink": {"type": "http_push", "url": url, "retry": retry}})
    assert receipt.tries == 2


INLINE: Final = re.compile(r"`((?:log_)?generator: \{[^`…]+\})`")


def test_every_generator_in_a_line_is_valid() -> None:
    """Those of the gallery, which stand in a line of text."""
    lines = INLINE.findall(prose(SCENARIOS))
    assert len(lines) > 10
    for line in lines:
        found: dict[str, Any] = {"signal_type": "metrics", "name": "x", **yaml.safe_load(line)}
        if found["generator"].pop("file", None):
            found["generator"]["csv"] = "t,up\n1,2\n2,3"
        else:
            found |= {"rate": 1, "duration": "5m"}
        made = sonda.load_scenario(found)
        assert isinstance(made, Success), (line, made)


SCENARIOS: Final = DOCS / "scenarios.md"


def test_the_first_scenario_and_a_mistake_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ten lines are valid, and slips in them are named as the page shows."""
    monkeypatch.chdir(tmp_path)
    text = blocks(SCENARIOS, "yaml")[0]
    assert len(text.splitlines()) == 10
    Path("demo.yaml").write_text(text)
    assert CliRunner().invoke(command_line, ["run", "demo.yaml", "--dry-run"]).exit_code == 0
    slips = text.replace("rate: 10", "rate: fast").replace("    generator", "    generater", 1)
    Path("demo.yaml").write_text(slips)
    shown = re.search(
        r"<!-- mistake -->\n```console\n\$ sonda (.*)\n((?:.+\n)+?)```", SCENARIOS.read_text()
    )
    assert shown
    ran = CliRunner().invoke(command_line, shown[1].split())
    assert ran.exit_code == 2
    assert ran.stderr == shown[2]
