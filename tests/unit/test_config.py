"""The operator's file: its tables, and the values that its strings stand for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sonda.config import ConfigError, check_fields, read_document, reveal

PATH = ("destinations", "prod")


def written(folder: Path, text: str) -> Path:
    path = folder / "sonda.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_tables_are_read_as_they_are_written(tmp_path: Path) -> None:
    document = read_document(
        written(tmp_path, '[destinations.a]\nsink = {type = "stdout"}\n[keys.b]\nkey = "k"\n[x]\n')
    )
    assert document.destinations == {"a": {"sink": {"type": "stdout"}}}
    assert document.keys == {"b": {"key": "k"}}
    assert document.unknown == ("x",)
    assert '"k"' not in repr(document)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            "destinations = 1",
            ":1:1: destinations: expected tables [destinations.NAME], got a number",
        ),
        ("keys = []", ":1:1: keys: expected tables [keys.NAME], got an array"),
        ("[", ": is not valid TOML: "),
    ],
)
def test_a_file_of_another_shape_is_a_fault(tmp_path: Path, text: str, fault: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        read_document(path)
    assert str(caught.value).startswith(f"{path}{fault}")


def fault_of(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        read_document(path)
    return str(caught.value).removeprefix(f"{path}: ")


def test_a_file_that_cannot_be_read_is_a_fault(tmp_path: Path) -> None:
    assert fault_of(tmp_path / "none.toml") == "cannot be read: No such file or directory"
    os.mkfifo(tmp_path / "fifo")
    assert fault_of(tmp_path / "fifo") == "cannot be read: it is no regular file"
    (tmp_path / "latin").write_bytes(b"\xe9")
    assert fault_of(tmp_path / "latin") == "is not UTF-8 at byte 0"


def test_strings_stand_for_variables_and_files_but_not_labels(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t0k\n\n", encoding="utf-8")
    table = {
        "sink": {"headers": {"A": "env:TOKEN", "B": "file:token", "C": "x env:TOKEN"}, "n": 1},
        "labels": {"a": "env:TOKEN"},
    }
    revealed = reveal(table, PATH, {"TOKEN": "s3cret"}, tmp_path)
    assert revealed.faults == ()
    assert revealed.value == {
        "sink": {"headers": {"A": "s3cret", "B": "t0k\n", "C": "x env:TOKEN"}, "n": 1},
        "labels": {"a": "env:TOKEN"},
    }
    assert revealed.secrets == {"s3cret": "env:TOKEN", "t0k\n": "file:token"}
    assert revealed.files == (tmp_path / "token",)
    assert "s3cret" not in repr(revealed)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("env:NONE", 'the variable "NONE" is not set'),
        ("env:EMPTY", 'the variable "EMPTY" is empty'),
        ("env:", 'the variable "" is not set'),
        ("file:none", 'the file "none" cannot be read: No such file or directory'),
        ("file:blank", 'the file "blank" is empty'),
        ("file:latin", 'the file "latin" is not UTF-8'),
        ("file:a\0b", 'the file "a\\u0000b" cannot be read: embedded null byte'),
        (float("nan"), "a date, a time, inf and nan mean nothing here"),
    ],
)
def test_what_stands_for_nothing_is_a_fault_at_its_place(
    tmp_path: Path, value: object, reason: str
) -> None:
    (tmp_path / "blank").write_text("\n", encoding="utf-8")
    (tmp_path / "latin").write_bytes(b"\xe9")
    revealed = reveal({"sink": {"a": [value]}}, PATH, {"EMPTY": ""}, tmp_path)
    assert revealed.faults == (f"destinations.prod.sink.a[0]: {reason}",)


def test_unknown_fields_are_faults() -> None:
    assert check_fields({"sinc": 1}, "destinations.a", ("sink",)) == [
        "destinations.a: unknown field \"sinc\", expected one of 'sink' (did you mean 'sink'?)"
    ]
    assert check_fields(1, "keys.a", ()) == ["keys.a: expected a table, got a number"]
