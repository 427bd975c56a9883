"""Every block of code in README.md and docs/ is run or read by a test, or says why it cannot be."""

from __future__ import annotations

import ast
import re
import sys
from typing import Final, NamedTuple

import pytest

from tests.support.pages import ROOT, Block, blocks, pages


class By(NamedTuple):
    """Which blocks a test runs: those of *page* that begin with *start*, or are in *language*."""

    page: str
    test: str
    start: str = ""
    language: str = ""
    marker: str = ""

    def covers(self, block: Block) -> bool:
        return (
            re.fullmatch(self.page, block.page) is not None
            and block.text.startswith(self.start)
            and self.language in ("", block.language)
            and self.marker in ("", block.marker)
        )


COMMANDS: Final = "tests/test_docs_commands.py"
TYPED: Final = "tests/cli/test_readme_cli.py::test_the_command_line_prints_what_is_shown"
GUIDE: Final = r"docs/guides/.*\.md"
ANY: Final = r"README\.md|docs/.*\.md"

RUN: Final = (
    By(ANY, f"{COMMANDS}::test_json_is_what_it_is_said_to_be", language="json"),
    By(ANY, f"{COMMANDS}::test_a_configuration_is_read_by_the_server", language="toml"),
    By(ANY, f"{COMMANDS}::test_yaml_is_read_by_what_gets_it", language="yaml"),
    By("README.md", TYPED, marker="cli"),
    By("docs/cli.md", TYPED, language="console"),
    By(
        "README.md",
        "tests/backends/test_scenarios.py::test_what_the_readme_compares_with",
        marker="loki: curl",
    ),
    By(
        "README.md",
        "tests/backends/test_scenarios.py::test_what_the_readme_reads_back",
        marker="loki: verify",
    ),
    By("README.md", f"{COMMANDS}::test_it_installs_as_shown", start="pipx install"),
    By(
        "README.md",
        "tests/backends/test_scenarios.py::test_the_workshop_event",
        marker="first curl",
    ),
    By("README.md", "tests/test_readme.py::test_the_snippets_run", language="python"),
    By("docs/library.md", "tests/test_readme.py::test_the_snippets_run", language="python"),
    By(
        "docs/notebooks.md",
        "tests/unit/test_notebook.py::test_the_pages_snippets_run",
        language="python",
    ),
    By("docs/scenarios.md", f"{COMMANDS}::test_a_scenario_in_python", language="python"),
    By(
        "docs/scenarios.md",
        "tests/test_docs.py::test_the_first_scenario_and_a_mistake_in_it",
        marker="mistake",
    ),
    By(
        "docs/scenarios.md",
        f"{COMMANDS}::test_a_scenario_is_run_as_shown",
        start="$ sonda run demo",
    ),
    By("docs/scenarios.md", f"{COMMANDS}::test_a_scenario_over_http", start="$ curl"),
    By("docs/http.md", "tests/cli/test_readme_cli.py::test_the_server_answers_a_dry_run_as_shown"),
    By(
        "docs/retries.md",
        f"{COMMANDS}::test_a_request_with_a_key",
        start="$ curl http://localhost:8080/events -H 'Content-Type: application/json'",
    ),
    By(
        "docs/retries.md",
        f"{COMMANDS}::test_many_events_in_one_request",
        start="$ curl http://localhost:8080/events -H 'Content-Type: application/x",
    ),
    By("docs/guides/many-events.md", f"{COMMANDS}::test_many_events_in_one_request", start="curl"),
    By(
        "docs/guides/many-events.md",
        "tests/test_docs.py::test_the_commands_are_valid",
        start="sonda",
    ),
    By(
        "docs/guides/grafana-cloud.md",
        "tests/test_docs.py::test_the_commands_are_valid",
        language="bash",
    ),
    By(
        "docs/guides/queryable.md",
        "tests/test_docs.py::test_the_commands_are_valid",
        language="bash",
    ),
    By(
        "docs/guides/tls-and-nginx.md",
        "tests/test_docs.py::test_the_commands_are_valid",
        language="bash",
    ),
    By("docs/guides/keys.md", f"{COMMANDS}::test_a_server_with_a_key", language="bash"),
    By(
        "docs/guides/annotation.md",
        "tests/backends/test_scenarios.py::test_the_annotation",
        language="bash",
    ),
    By(
        "docs/guides/annotation.md",
        "tests/backends/test_scenarios.py::test_the_annotation",
        language="logql",
    ),
    By("docs/guides/prometheus.md", "tests/backends/test_prometheus.py", language="bash"),
    By(
        "docs/deployment/kubernetes.md",
        f"{COMMANDS}::test_the_secret_is_made_as_shown",
        start="kubectl create secret generic sonda ",
    ),
    By("docs/notebooks.md", f"{COMMANDS}::test_it_installs_as_shown", marker="install"),
    By(
        "docs/deployment/compose.md",
        "tests/test_deploy.py::test_compose_services_annotate",
        start="curl",
    ),
)

FLAGS: Final = f"{COMMANDS}::test_the_tools_know_these_flags"
EXCUSED: Final = (
    (By("docs/deployment/docker.md", FLAGS, start="docker build"), "no Docker runs here"),
    (By("docs/deployment/compose.md", FLAGS, start="openssl"), "no Docker runs here"),
    (By("docs/deployment/kubernetes.md", FLAGS, start="kubectl apply"), "there is no cluster"),
    (By("docs/deployment/kubernetes.md", FLAGS, start="kubectl port"), "there is no cluster"),
    (
        By("docs/deployment/kubernetes.md", FLAGS, start="kubectl create secret generic sonda-key"),
        "there is no cluster",
    ),
    (By("docs/guides/systemd.md", "", start="sudo"), "it needs root and a systemd"),
    (By("docs/guides/tls-and-nginx.md", "", language="nginx"), "no nginx is installed"),
)
"""What cannot be run where the tests run; the page says so itself.

Of most of them a test checks that the tool has the flags that are given to it.
"""

MOST_EXCUSED: Final = 7
EVERY: Final = list(blocks())


def rules_of(block: Block) -> list[By]:
    return [rule for rule in (*RUN, *(excuse for excuse, _ in EXCUSED)) if rule.covers(block)]


def is_excused(block: Block) -> bool:
    return any(rule.covers(block) for rule, _ in EXCUSED)


def test_every_block_is_run_or_excused() -> None:
    """No block has neither a test nor a reason, or both; and no rule is left over."""
    assert [str(block) for block in EVERY if not rules_of(block)] == []
    excused = [block for block in EVERY if is_excused(block)]
    assert [str(block) for block in excused if any(rule.covers(block) for rule in RUN)] == []
    used = [rule for block in EVERY for rule in rules_of(block)]
    assert {*RUN, *(rule for rule, _ in EXCUSED)} == {*used}
    assert len(excused) <= MOST_EXCUSED


@pytest.mark.parametrize("rule", [*RUN, *(rule for rule, _ in EXCUSED if rule.test)], ids=str)
def test_the_tests_that_are_named_exist(rule: By) -> None:
    """A test that is renamed takes its name along."""
    file, _, name = rule.test.partition("::")
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    assert not name or name in {n.name for n in tree.body if isinstance(n, ast.FunctionDef)}


@pytest.mark.parametrize(("rule", "_reason"), EXCUSED, ids=str)
def test_a_page_says_what_was_not_run(rule: By, _reason: str) -> None:
    """In its own words, for those who type it."""
    [page] = (path for path in pages() if re.fullmatch(rule.page, str(path.relative_to(ROOT))))
    text = " ".join(page.read_text(encoding="utf-8").split())
    words = r"Not tried: |do not run|has not been started|was not run|were not run|are not run"
    assert re.search(words, text)


if __name__ == "__main__":  # python -m tests.test_docs_blocks
    for one in EVERY:
        reason = next((reason for rule, reason in EXCUSED if rule.covers(one)), "")
        tests = ", ".join(rule.test for rule in rules_of(one) if rule.test)
        sys.stdout.write(
            f"{one}: {f'not run, {reason}' if reason else 'run'} ({tests or 'no test'})\n"
        )
    left = sum(map(is_excused, EVERY))
    sys.stdout.write(f"{len(EVERY) - left} of {len(EVERY)} blocks are run, {left} are not\n")
