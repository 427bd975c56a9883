"""What is wrong with a document, in its order and without what would be said twice."""

from __future__ import annotations

from sonda.pipeline.problems import MAX_ISSUES, Invalid, Malformed, ValidationIssue
from sonda.pipeline.scenarios.structure import Issues


def test_nothing_is_wrong() -> None:
    """There is no problem then."""
    assert Issues().problem() is None


def test_structure_hides_values() -> None:
    """A value may be wrong only because something else is missing."""
    issues = Issues()
    issues.value(("scenarios", 0, "rate"), "too high")
    assert issues.problem() == Invalid((ValidationIssue("scenarios[0].rate", "too high"),))
    issues.structure(("scenarios", 1), "missing field 'name'")
    assert issues.problem() == Malformed((ValidationIssue("scenarios[1]", "missing field 'name'"),))


def test_each_is_said_once_and_the_rest_are_counted() -> None:
    """What a list has no room for is a number; what pieces have counted is added."""
    issues = Issues(more=5)
    for number in range(MAX_ISSUES + 2):
        for _ in range(2):
            issues.structure(("a", number), "wrong")
    problem = issues.problem()
    assert isinstance(problem, Malformed)
    assert len(problem.issues) == MAX_ISSUES
    assert problem.more == 2 + 5


def test_it_is_full_when_no_more_could_be_listed() -> None:
    """From there on nothing is explained; values do not count, for they may not be listed."""
    issues = Issues()
    for number in range(MAX_ISSUES):
        assert not issues.full
        issues.value((number,), "wrong")
        issues.structure((number,), "wrong")
    assert issues.full


def test_a_piece_in_its_document() -> None:
    """Its paths begin where the piece is, whether they are names, places in a list or nothing."""
    issues = Issues()
    found = [ValidationIssue(path, "wrong") for path in ("", "sink.url", "[2]")]
    issues.extend(("scenarios", 3), found, structural=True)
    assert [one.path for one in issues.structural] == [
        "scenarios[3]",
        "scenarios[3].sink.url",
        "scenarios[3][2]",
    ]


def test_a_single_entry_is_its_document() -> None:
    """A reason that names its subject then says enough, but for one of `defaults`."""
    issues = Issues()
    found = [
        ValidationIssue("rate", "rate is wrong", names_subject=True),
        ValidationIssue("defaults.rate", "rate is wrong", names_subject=True),
    ]
    issues.extend((), found, structural=False)
    assert [one.names_subject for one in issues.values] == [True, False]
