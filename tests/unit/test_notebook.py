"""How results look in a notebook, and as rows of a table."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, get_args

import pytest
from msgspec import structs
from returns.result import Failure, Result, Success

import sonda
from sonda.pipeline.model import Confirmed, Receipt, RecordMetadata
from sonda.pipeline.problems import (
    DestinationBusy,
    Forbidden,
    Invalid,
    Malformed,
    NotJson,
    OutcomeUnknown,
    Problem,
    Refused,
    Unreachable,
    ValidationIssue,
    missing_extra,
)
from sonda.pipeline.wire_preview import Preview, WirePreview
from tests.support.destinations import TIME_NS, TIMESTAMP, http_destination

PAGE: Final = (Path(__file__).parents[2] / "docs" / "notebooks.md").read_text(encoding="utf-8")
EVIL: Final = "<script>alert('&')</script>\x1b[2J"
RECEIPT: Final = Receipt("logs", Confirmed.ACCEPTED, TIME_NS, 2, 7999)
PROBLEMS: Final[list[Problem]] = [
    NotJson(EVIL),
    Malformed((ValidationIssue(EVIL, EVIL), ValidationIssue("", EVIL))),
    Invalid((ValidationIssue("sink", EVIL), missing_extra("sink", "kafka", "kafka"))),
    Forbidden(EVIL, EVIL),
    Unreachable(EVIL, EVIL),
    Refused(EVIL, EVIL, EVIL),
    DestinationBusy(EVIL, 512),
    OutcomeUnknown(EVIL, EVIL, TIME_NS),
]
DEPARTURE: Final = WirePreview(
    EVIL, EVIL, EVIL.encode(), {EVIL: EVIL, "topic": EVIL}, ((EVIL, EVIL),)
)
PREVIEWS: Final = [
    Preview("logs", EVIL, EVIL, TIME_NS, DEPARTURE, None, (EVIL,)),
    Preview("logs", EVIL, EVIL, TIME_NS, DEPARTURE, {EVIL: [EVIL]}, (EVIL,)),
]
EVIL_RECEIPT: Final = structs.replace(RECEIPT, place=RecordMetadata(EVIL, 0, 1), warnings=(EVIL,))


def html(shown: Any) -> str:
    text: str = shown._repr_html_()
    return text


@pytest.mark.parametrize("shown", [*PROBLEMS, *PREVIEWS, EVIL_RECEIPT])
def test_nothing_of_a_strangers_is_markup(shown: Any) -> None:
    """What a destination or an event says is text, and holds no control characters."""
    assert "<script>" not in html(shown)
    assert "&lt;script&gt;alert(&#x27;&amp;&#x27;)&lt;/script&gt;" in html(shown)
    assert html(shown).isprintable()


def test_every_problem_is_a_card() -> None:
    """A notebook's reader sees what happened, and what may be concluded from it."""
    assert {type(problem) for problem in PROBLEMS} == set(get_args(Problem))
    card = html(Unreachable("TCP connect to h:1", "Connection refused"))
    assert "<strong>Unreachable</strong>" in card
    assert "sink error: TCP connect to h:1: Connection refused" in card
    assert "the destination has nothing." in card
    assert "<strong>Outcome unknown</strong>" in html(OutcomeUnknown("h", "within 1s", 1))
    flaws = html(Invalid((ValidationIssue("a", "b"), ValidationIssue("c", "d"))))
    assert "a: b<br>c: d" in flaws


def test_the_colours_tell_apart() -> None:
    """Delivered, refused, unknown and not sent at all are not alike."""
    cards = [html(shown) for shown in (RECEIPT, PROBLEMS[0], PROBLEMS[-1], PREVIEWS[0])]
    assert len({card.partition("solid ")[2][:7] for card in cards}) == 4


def test_a_receipt_is_a_card() -> None:
    """It has what it proves, and where a log has put the event."""
    stored = structs.replace(
        RECEIPT, status=204, place=RecordMetadata("events", 0, 42), warnings=("mind",)
    )
    for part in (
        "<strong>Accepted at events-0@42 after 2 tries in 8.0 ms</strong>",
        f"logs, {TIMESTAMP}",
        ">204<",
        ">mind<",
    ):
        assert part in html(stored)
    assert "status" not in html(RECEIPT)


@pytest.mark.parametrize("shown", [RECEIPT, PROBLEMS[4], PREVIEWS[0]])
def test_the_text_of_a_value_is_its_words(shown: Any) -> None:
    """IPython in a terminal shows a sentence, not a constructor."""
    printed: list[str] = []

    class Printer:
        text = printed.append

    shown._repr_pretty_(Printer(), False)
    assert printed == [str(shown)]


@dataclass
class Formatter:
    """What IPython keeps for one kind of output."""

    by_type: dict[type, Callable[[Any], str | None]] = field(default_factory=dict)

    def for_type(self, kind: type, show: Callable[[Any], str | None]) -> None:
        self.by_type[kind] = show


class App:
    """IPython, as far as an extension knows it."""

    def __init__(self) -> None:
        self.display_formatter = self
        self.formatters = {"text/html": Formatter()}


def test_the_extension_shows_what_is_in_a_result() -> None:
    """A receipt in a success, a problem in a failure; what has no card stays text."""
    shell = App()
    sonda.load_ipython_extension(shell)
    by_type = shell.formatters["text/html"].by_type

    def shown(result: Result[Any, Any]) -> str | None:
        return by_type[type(result)](result)

    assert shown(Success(RECEIPT)) == html(RECEIPT)
    assert shown(Failure(PROBLEMS[0])) == html(PROBLEMS[0])
    assert shown(Success(b"bytes")) is None


def test_a_receipt_as_a_row() -> None:
    """What it does not have is not in the row."""
    row = {
        "outcome": "delivered",
        "signal_type": "logs",
        "timestamp": TIMESTAMP,
        "confirmed": "accepted",
        "tries": 2,
        "latency_us": 7999,
    }
    assert sonda.as_row(Success(RECEIPT)) == row
    more = structs.replace(
        RECEIPT, status=0, place=RecordMetadata("t", 1, None), warnings=("a", "b")
    )
    assert sonda.as_row(Success(more)) == {**row, "status": 0, "place": "t-1", "warnings": "a; b"}


def test_the_page_names_every_column() -> None:
    """docs/notebooks.md lists what a row may have."""
    full = structs.replace(RECEIPT, status=204, place=RecordMetadata("t", 0, 1), warnings=("a",))
    table = PAGE.partition("| column |")[2]
    columns = [
        name
        for line in table.splitlines()[2:]
        for name in re.findall(r"`(\w+)`", line.split("|")[1])
    ]
    rows = [sonda.as_row(result) for result in (Success(full), *map(Failure, PROBLEMS))]
    assert set(columns) == {name for row in rows for name in row}


def test_the_pages_snippets_run(capsys: pytest.CaptureFixture[str]) -> None:
    """Each snippet of docs/notebooks.md does what it says, in one notebook after the other."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"message": ["a", "b"], "labels": [{"n": "1"}, {"n": "2"}]})
    names: dict[str, Any] = {"pd": pandas, "frame": frame, "sink": sonda.sinks.Stdout()}
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT

    async def run(address: str) -> None:
        for block in re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
            code = block.removeprefix("%load_ext sonda\n").replace("loki:3100", address)
            made = eval(compile(code, "<page>", "exec", flags), names)  # noqa: S307  # our own page
            if inspect.isawaitable(made):
                await made

    with http_destination() as destination:
        asyncio.run(run(destination.url.removeprefix("http://")))
    receipt, *events = capsys.readouterr().out.splitlines()
    assert receipt.startswith("accepted ")
    assert len(events) == 2
    assert len(destination.posts.items) == 2  # `send_async`, and then `emit_async`
    assert [sonda.as_row(result)["outcome"] for result in names["results"]] == ["delivered"] * 2


@pytest.mark.parametrize(
    ("problem", "outcome"),
    list(zip(PROBLEMS, ["invalid"] * 4 + ["rejected"] * 3 + ["unknown"], strict=True)),
)
def test_a_problem_as_a_row(problem: Problem, outcome: str) -> None:
    """Its kind and its words; with the timestamp where the event may have arrived."""
    row = {"outcome": outcome, "problem": type(problem).__name__, "detail": str(problem)}
    when = {"timestamp": TIMESTAMP} if outcome == "unknown" else {}
    assert sonda.as_row(Failure(problem)) == {**row, **when}
