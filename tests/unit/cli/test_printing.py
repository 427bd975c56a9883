"""What is printed of verdicts, and which events are kept to be sent again."""

from __future__ import annotations

import io
import stat
from pathlib import Path

import click
import pytest

from sonda.cli.outcomes import Exit, Outcome
from sonda.cli.printing import require_writable, show, summarize, write_failed

DELIVERED = Outcome(Exit.DELIVERED, {"sent": True}, "delivered to there", ("mind\x1b",))
REJECTED = Outcome(Exit.REJECTED, {"error": "bad_gateway"}, "rejected: no\nway")
INVALID = Outcome(Exit.INVALID, {}, "invalid: x", is_events_fault=True)
UNSEEN = Outcome(Exit.UNSEEN, {}, "delivered, not seen in time")
UNKNOWN = Outcome(Exit.UNKNOWN, {}, "unknown: x")


def test_people_read_good_and_bad_apart(capsys: pytest.CaptureFixture[str]) -> None:
    """What was delivered on one stream, what was not and each warning on the other; all printable."""
    out = io.StringIO()
    status = show([("a:1", DELIVERED), ("", REJECTED)], out, as_json=False)
    assert (status, out.getvalue()) == (Exit.REJECTED, "a:1: delivered to there\n")
    err = capsys.readouterr().err
    assert err == "a:1: warning: mind\\u001b\nrejected: no\\nway\n"


def test_programs_read_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Good or bad; what is quiet leaves out what was delivered, and never the rest."""
    out = io.StringIO()
    assert show([("", DELIVERED), ("", REJECTED)], out, as_json=True, quiet=True) is Exit.REJECTED
    assert out.getvalue() == '{"error":"bad_gateway"}\n'
    assert capsys.readouterr().err == ""


def test_an_answer_that_cannot_be_printed_changes_no_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The event was delivered, whether that can be printed or not."""

    class Full(io.StringIO):
        def write(self, _text: str) -> int:
            raise OSError(28, "No space left on device")

        def fileno(self) -> int:
            return file.fileno()

    with (tmp_path / "out").open("w") as file:
        assert show([("", DELIVERED)], Full(), as_json=False) is Exit.DELIVERED
    assert capsys.readouterr().err == "cannot print the answer: No space left on device\n"


def test_a_summary(capsys: pytest.CaptureFixture[str]) -> None:
    """How many have which verdict; what nobody has is not named."""
    summarize([DELIVERED] * 1000 + [UNKNOWN])
    assert capsys.readouterr().err == "1,001 events: 1,000 delivered, 1 unknown\n"


def test_what_may_be_sent_again_is_kept(tmp_path: Path) -> None:
    """What was delivered is not, seen or not; what is invalid stands apart, and is never lost."""
    path = tmp_path / "failed.jsonl"
    outcomes = [DELIVERED, REJECTED, INVALID, UNSEEN, UNKNOWN]
    for _ in range(2):
        notes = write_failed(path, ["d", "r", "i", "s", "u\udcff"], outcomes, " with x")
    assert path.read_bytes() == b"r\nu\xff\n"
    assert (tmp_path / "failed.jsonl.invalid").read_text() == "i\ni\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert notes == [
        f"what was not delivered is in {path}, to be sent again with x",
        f"what is not valid is in {path}.invalid",
    ]


def test_nothing_failed(tmp_path: Path) -> None:
    """The file is emptied: what it held of an earlier try is delivered by now."""
    path = tmp_path / "failed.jsonl"
    path.write_text("old\n")
    assert write_failed(path, ["d"], [DELIVERED]) == []
    assert path.read_text() == ""
    assert not (tmp_path / "failed.jsonl.invalid").exists()


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    """Beforehand that is a mistake, and afterwards a note; what a file holds is left alone."""
    with pytest.raises(click.BadParameter, match="Is a directory") as caught:
        require_writable(tmp_path)
    assert caught.value.param_hint == "'--failed'"
    assert write_failed(tmp_path, ["r"], [REJECTED]) == [
        f"cannot write {tmp_path}: Is a directory; it lacks events that failed"
    ]
    (tmp_path / "x").write_text("kept")
    require_writable(tmp_path / "x")
    assert (tmp_path / "x").read_text() == "kept"
