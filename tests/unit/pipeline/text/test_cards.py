"""What is shown holds no control character and no markup but our own."""

from __future__ import annotations

from sonda.pipeline.problems import Invalid, OutcomeUnknown, ValidationIssue
from sonda.pipeline.text.cards import Tone, card, html_of_preview, lines_of_preview

HOSTILE = "<script>\x1b[2J&"


class Printer:
    """What IPython passes to `_repr_pretty_`."""

    def __init__(self) -> None:
        self.printed = ""

    def text(self, text: str) -> None:
        self.printed += text


def test_a_card_escapes_all_that_it_is_given() -> None:
    """Title, names, lines and note."""
    html = card(Tone.GOOD, HOSTILE, [(HOSTILE, [HOSTILE, "b"])], HOSTILE)
    assert "<script>" not in html
    assert "\x1b" not in html
    assert html.count("&lt;script&gt;\\u001b[2J&amp;") == 4
    assert "<br>b" in html
    assert Tone.GOOD.value in html


def test_a_preview_is_aligned_and_its_bytes_come_last() -> None:
    """Lines of a text are lines; names stand before the first alone."""
    document = {
        "sink": "loki",
        "target": "http://loki:3100",
        "length": 3,
        "headers": [["A", "1"], ["B", "2"]],
        "text": "one\ntwo\n",
    }
    assert lines_of_preview(document, ["it is old"]) == [
        "sink     loki http://loki:3100",
        "length   3",
        "headers  A: 1",
        "         B: 2",
        "text     one",
        "         two",
        "warning  it is old",
    ]
    html = html_of_preview(document, ["it is old"])
    assert "Would go to loki http://loki:3100" in html
    assert "it is old" in html


def test_bytes_are_lines_of_hex_beside_what_they_mean() -> None:
    """Thirty-two bytes a line."""
    document = {"sink": "stdout", "target": "stdout", "hex": "ab" * 40, "decoded": {"a": [1]}}
    lines = lines_of_preview(document)
    assert lines[0] == "sink     stdout"
    assert lines[1:3] == [f"hex      {'ab' * 32}", f"         {'ab' * 8}"]
    assert [line.strip() for line in lines[3:]] == ["decoded  {", '"a": [', "1", "]", "}"]


def test_a_problem_says_what_may_be_concluded() -> None:
    """Each issue on a line of its own, and how many more there are."""
    problem = Invalid((ValidationIssue("a", "too long"), ValidationIssue("b", "too short")), 3)
    html = problem._repr_html_()
    assert "a: too long<br>b: too short<br>and 3 more" in html
    assert "nothing was sent" in html
    assert Tone.BAD.value in html
    printer = Printer()
    problem._repr_pretty_(printer, False)
    assert printer.printed == str(problem)


def test_an_unknown_outcome_has_a_colour_of_its_own() -> None:
    """It is neither a yes nor a no."""
    html = OutcomeUnknown("a:1", "within 10s", 0)._repr_html_()
    assert Tone.UNSURE.value in html
    assert "<strong>Outcome unknown</strong>" in html
