"""Queries are bounded before they are made."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sonda.pipeline.verify.query import QueryTooLongError, selector


class Labels(dict[str, str]):
    """Labels that note whether a query is made of them."""

    is_written = False

    def items(self) -> Iterator[tuple[str, str]]:  # type: ignore[override]
        self.is_written = True
        return iter([*super().items()])


def test_labels_that_no_url_could_hold_make_no_query() -> None:
    """It is refused at once: to write it takes a tenth of a second, and httpx would refuse it."""
    labels = Labels({f"l{number}": "x" * 10 for number in range(5000)})
    with pytest.raises(QueryTooLongError, match="longer than a URL may be"):
        selector(labels)
    assert not labels.is_written


def test_labels_are_sorted_and_quoted() -> None:
    """A selector is what LogQL and PromQL read."""
    assert selector({"b": 'x"\n', "a": "ä"}) == '{a="ä",b="x\\"\\n"}'
