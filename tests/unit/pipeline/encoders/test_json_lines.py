"""Lines of JSON: their order, their numbers, and what they leave as it is."""

from __future__ import annotations

import pytest
from returns.result import Success

from sonda.pipeline.encoders import json_lines
from sonda.pipeline.encoders.json_lines import JsonLines
from tests.support.events import record, sample


@pytest.mark.parametrize(
    ("value", "precision", "text"),
    [
        (1.0, None, "1.0"),
        (1, None, "1.0"),
        (0.1, None, "0.1"),
        (1e21, None, "1e+21"),
        (-0.0, None, "-0.0"),
        (5e-324, None, "5e-324"),
        (1.7976931348623157e308, None, "1.7976931348623157e+308"),
        (99.60573, 2, "99.61"),
        (100.0, 2, "100.0"),
        (99.60573, 0, "100.0"),
        (2.675, 2, "2.67"),
        (-0.001, 2, "-0.0"),
        (0.1, 17, "0.1"),
        (1.7976931348623157e308, 17, "1.7976931348623157e+308"),
        (1.7976931348623157e308, 0, "1.7976931348623157e+308"),
    ],
)
def test_json_numbers(value: float, precision: int | None, text: str) -> None:
    """Always a float's `repr`, of the rounded value where a precision is given."""
    metric = sample(value, name="m", labels={}, time_ns=0)
    assert json_lines.encode(metric, JsonLines(precision=precision)) == Success(
        b'{"name":"m","value":%b,"labels":{},"timestamp":"1970-01-01T00:00:00.000Z"}\n'
        % text.encode()
    )


def test_names_are_sorted_inside_and_stay_in_order_outside() -> None:
    """The members are in the contract's order; text beyond ASCII is itself, not an escape."""
    log = record("é\u2028", labels={"b": "2", "a": "1"}, fields={"z": "", "_": "€"}, time_ns=0)
    assert json_lines.encode(log, JsonLines()) == Success(
        '{"timestamp":"1970-01-01T00:00:00.000Z","severity":"info","message":"é\u2028",'
        '"labels":{"a":"1","b":"2"},"fields":{"_":"€","z":""}}\n'.encode()
    )


def test_a_line_feed_in_a_text_is_an_escape() -> None:
    """So each event is one line, whatever it says."""
    body = json_lines.encode(record("a\nb\x00", labels={"k": "\r\n"}), JsonLines()).unwrap()
    assert body.count(b"\n") == 1
    assert b'"a\\nb\\u0000"' in body
