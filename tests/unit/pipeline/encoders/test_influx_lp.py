"""Line protocol: what it cannot carry, and the tags that it leaves out."""

from __future__ import annotations

from returns.result import Failure, Success

from sonda.pipeline.encoders import encode_series, influx_lp
from sonda.pipeline.encoders.influx_lp import InfluxLp
from sonda.pipeline.problems import Invalid, ValidationIssue
from tests.support.events import sample


def test_names_flaws_of_labels_and_field_key() -> None:
    """Every label is looked at, in their order, and then the field's key."""
    unfit = sample(labels={"time": "\\", "a": "fine", "B": "x\n\\"})
    options = InfluxLp(field_key="cpu\npercent\\")
    newline = "contains a newline, which line protocol cannot carry here"
    backslash = "ends in a backslash, which would escape what follows it"
    assert influx_lp.encode(unfit, options) == Failure(
        Invalid(
            (
                ValidationIssue("labels.B", rf'"x\n\\" {newline}'),
                ValidationIssue("labels.B", rf'"x\n\\" {backslash}'),
                ValidationIssue(
                    "labels.time", '"time" is the timestamp in line protocol, not a tag'
                ),
                ValidationIssue("labels.time", rf'"\\" {backslash}'),
                ValidationIssue("encoder.field_key", rf'"cpu\npercent\\" {newline}'),
                ValidationIssue("encoder.field_key", rf'"cpu\npercent\\" {backslash}'),
            )
        )
    )


def test_refuses_an_empty_time_label() -> None:
    """A label named `time` is refused for its name, though an empty tag would be left out."""
    assert influx_lp.encode(sample(labels={"time": ""}), InfluxLp()) == Failure(
        Invalid(
            (ValidationIssue("labels.time", '"time" is the timestamp in line protocol, not a tag'),)
        )
    )


def test_a_refusal_quotes_the_start_of_a_long_value() -> None:
    """A quoted value is cut at 200 characters."""
    unfit = sample(labels={"a": "x" * 500 + "\n"})
    assert influx_lp.encode(unfit, InfluxLp()) == Failure(
        Invalid(
            (
                ValidationIssue(
                    "labels.a",
                    f'"{"x" * 200}…" contains a newline, which line protocol cannot carry here',
                ),
            )
        )
    )


def test_a_backslash_is_refused_only_at_the_end() -> None:
    """Before anything else it stands for itself; before a separator it would escape that."""
    body = influx_lp.encode(sample(name="m", labels={"a": "\\x", "b": "y"}, time_ns=1), InfluxLp())
    assert body == Success(b"m,a=\\x,b=y value=1 1\n")
    assert isinstance(influx_lp.encode(sample(labels={"a": "x\\"}), InfluxLp()), Failure)


def test_a_series_is_refused_as_its_first_event_is() -> None:
    """Many events at once have the problem that one alone has, and none is written."""
    series = sample(labels={"time": "noon"})
    alone = influx_lp.encode(series, InfluxLp())
    assert isinstance(alone, Failure)
    assert encode_series(influx_lp.ENCODER, series, [1.0, 2.0], [1, 2], InfluxLp()) == alone
