"""`sonda.toml`: where it is looked for, what is in it, and what is wrong with it."""

from __future__ import annotations

import os
from pathlib import Path

import click
import pytest
from returns.result import Failure, Success

from sonda.cli.config_file import NamedDestination, find_destination, known_destinations, read_file

STAGING = '[destinations.staging]\nsink = { type = "loki", url = "http://a" }\n'


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a current folder two below an empty one; the user's own has no settings."""
    folder = tmp_path / "project" / "deep"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "own"))
    monkeypatch.setattr(click, "get_app_dir", lambda _: str(tmp_path / "own" / "sonda"))
    return folder


def test_a_destination(here: Path) -> None:
    """Its fields as they are written, and the file beside which those that it names lie."""
    file = here / "sonda.toml"
    file.write_text(
        STAGING
        + 'encoder = { type = "json_lines" }\nlabels = { env = "x" }\nverify_url = "http://q"\n'
    )
    assert find_destination("staging", None) == Success(
        NamedDestination(
            {"type": "loki", "url": "http://a"},
            {"type": "json_lines"},
            {"env": "x"},
            "http://q",
            file,
        )
    )


def test_the_nearest_wins(here: Path, tmp_path: Path) -> None:
    """That of the folder, then of those above it, then the user's own."""
    own = tmp_path / "own" / "sonda"
    own.mkdir(parents=True)
    for number, folder in enumerate((here, here.parent, own)):
        (folder / "sonda.toml").write_text(
            f'[destinations.all]\nsink = {{ type = "s{number}" }}\n'
            f'[destinations.only{number}]\nsink = {{ type = "s{number}" }}\n'
        )
    found = {name: one.sink["type"] for name, one in known_destinations(None).items()}
    assert found == {"all": "s0", "only0": "s0", "only1": "s1", "only2": "s2"}
    assert find_destination("only2", None).unwrap().sink == {"type": "s2"}


def test_a_file_that_is_named_is_the_only_one(here: Path, tmp_path: Path) -> None:
    """What else is there is not looked at."""
    (here / "sonda.toml").write_text(STAGING)
    other = tmp_path / "other.toml"
    other.write_text(STAGING.replace("staging", "prod"))
    assert set(known_destinations(other)) == {"prod"}
    reason = find_destination("staging", other).failure()
    assert reason == f"there is no destination 'staging' in {other}; known destinations: prod. "


def test_none_is_there() -> None:
    """The reason says what would name one."""
    reason = find_destination("x", None).failure()
    assert reason.endswith("known destinations: none (no sonda.toml names any). ")


def test_a_table_of_another_name_is_noted(here: Path) -> None:
    """It is a slip as likely as not."""
    (here / "sonda.toml").write_text("[destination.x]\n[keys.a]\n")
    reason = find_destination("x", None).failure()
    assert "destination: expected [destinations.NAME] tables" in reason
    assert "keys" not in reason


@pytest.mark.parametrize(
    ("table", "issue"),
    [
        ("", "3:1: destinations.bad: expected a table with sink = "),
        ('sink = "loki"', "3:1: destinations.bad: expected a table with sink = "),
        ("sink = {}\nencoder = 1", "5:1: destinations.bad.encoder: expected a table"),
        (
            "sink = {}\nlabels = { a = 1 }",
            "5:1: destinations.bad.labels: expected a table of strings",
        ),
        ("sink = {}\nverify_url = 1", "5:1: destinations.bad.verify_url: expected a string"),
        ("sink = {}\nlable = 1", "5:1: destinations.bad: unknown field 'lable'"),
    ],
)
def test_a_faulty_destination(here: Path, table: str, issue: str) -> None:
    """It concerns those who use it; others in the file are found."""
    path = here / "sonda.toml"
    path.write_text(f"{STAGING}[destinations.bad]\n{table}\n")
    assert find_destination("bad", None).failure().startswith(f"{path}:{issue}")
    assert set(known_destinations(None)) == {"staging"}


def test_no_toml(here: Path) -> None:
    """The parser's words, and the path."""
    path = here / "sonda.toml"
    path.write_text("destinations = [")
    assert find_destination("x", None).failure().startswith(f"cannot read {path}: ")
    assert read_file(here / "none.toml") == Failure(
        f"cannot read {here / 'none.toml'}: No such file or directory"
    )


def test_somebody_elses_file(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It could have this user's secrets sent to them, and is used only where it is named."""
    path = here / "sonda.toml"
    path.write_text(STAGING)
    fstat = os.fstat

    def somebody_elses(fd: int) -> os.stat_result:
        mode, inode, device, links, owner, *rest = fstat(fd)
        return os.stat_result((mode, inode, device, links, owner + 1, *rest))

    monkeypatch.setattr(os, "fstat", somebody_elses)
    assert find_destination("staging", None).failure() == (
        f"{path} belongs to somebody else: --config {path} would trust it"
    )
    assert known_destinations(None) == {}
    assert "staging" not in find_destination("other", None).failure()
    assert isinstance(find_destination("staging", path), Success)
