"""Every generator: its frozen values, and its vector form equal to the plain one to the last bit."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from returns.result import Failure, Success
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.single_file import SingleFileSnapshotExtension

from sonda.pipeline.model import Log, Metric
from sonda.pipeline.scenarios import generators, log_generators
from sonda.pipeline.scenarios.generators import Alias, Generator
from sonda.pipeline.scenarios.log_generators import LogGenerator
from sonda.pipeline.schemas.registry import GENERATORS
from tests.unit.pipeline.scenarios.support import compiled, log, metric

NAMES = sorted(GENERATORS["generator"].keys() - {"csv_replay"})  # whose file sets the pace
LOG_NAMES = sorted(GENERATORS["log_generator"].keys() - {"csv_replay"})


class ValuesFile(SingleFileSnapshotExtension):
    """A snapshot as a JSON file of its own."""

    file_extension = "json"

    def serialize(self, data: Any, **_: Any) -> bytes:
        return (json.dumps(data, indent=1, ensure_ascii=False) + "\n").encode()


def _written(name: str) -> dict[str, Any]:
    example = GENERATORS["generator"][name]["examples"][0]
    return metric(generator=example, rate=0.3, duration="30m")


@pytest.mark.parametrize("name", NAMES)
def test_values(name: str, snapshot: SnapshotAssertion) -> None:
    """These are the values of the schema's example, for ever: people keep seeds."""
    entry = compiled(_written(name)).unwrap().entries[0]
    shown = [f"{value:.12g}" for value in entry.values(range(40))]
    assert shown == snapshot(extension_class=ValuesFile)


@pytest.mark.parametrize("name", LOG_NAMES)
def test_messages(name: str, snapshot: SnapshotAssertion) -> None:
    """These are the messages of the schema's example, for ever."""
    example = GENERATORS["log_generator"][name]["examples"][0]
    entry = compiled(log(log_generator=example)).unwrap().entries[0]
    shown = [
        [one.severity, one.message, dict(one.fields)]
        for one in entry.events(range(20))
        if isinstance(one, Log)
    ]
    assert shown == snapshot(extension_class=ValuesFile)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("jitter", [None, 0.1, 3])
@settings(max_examples=8, deadline=None)
@given(
    first=st.integers(0, 10**15),
    count=st.integers(0, 40),
    rate=st.decimals("0.001", 400, places=3).map(float),
    bursts=st.booleans(),
)
def test_both_forms_are_equal(
    name: str, jitter: float | None, first: int, count: int, rate: float, bursts: bool
) -> None:
    """A range of ticks has the events of its ticks, to the last bit."""
    example = GENERATORS["generator"][name]["examples"][0]
    times = {"bursts": {"every": "1.7s", "for": "0.3s", "multiplier": 2.5}} if bursts else {}
    ending = {"count": 1} if name == "leak" else {}
    written = metric(generator=example, rate=rate, jitter=jitter, **times, **ending)
    entry = compiled(written).unwrap().entries[0]
    ticks = range(first, first + count)
    assert entry.events(ticks) == [entry.event(tick) for tick in ticks]


def test_both_forms_of_messages_are_equal() -> None:
    """A range of ticks has the messages of its ticks."""
    written = {
        "type": "template",
        "templates": [
            "plain {tick} {uuid}",
            {
                "message": "{a}{{{b}}} 100% {timestamp}",
                "field_pools": {"a": ["x"], "b": ["1", "2"]},
            },
        ],
        "severity_weights": {"info": 2, "error": 1, "debug": 0},
    }
    entry = compiled(log(log_generator=written)).unwrap().entries[0]
    ticks = range(5, 60)
    events = entry.events(ticks)
    assert events == [entry.event(tick) for tick in ticks]
    assert {event.severity for event in events if event.signal_type == "logs"} == {"info", "error"}


@pytest.mark.parametrize(
    ("generator", "x", "value"),
    [
        ({"type": "sawtooth", "min": 1, "max": 3, "period_secs": 0.3}, "0.3", 1.0),
        ({"type": "sawtooth", "min": 1, "max": 3, "period_secs": 0.3}, "0.45", 2.0),
        ({"type": "step", "start": 2, "step_size": 3, "max": 7}, "0.4", 2 + 24 % 5),
        ({"type": "step", "step_size": 0.1}, "0.15", 0.3),
        ({"type": "sequence", "values": [5, 6, 7]}, "0.2", 6.0),
        ({"type": "sequence", "values": [5, 6, 7], "repeat": False}, "0.2", 7.0),
        (
            {
                "type": "spike",
                "baseline": 1,
                "magnitude": 8,
                "duration_secs": 0.3,
                "interval_secs": 0.9,
            },
            "0.3",
            1.0,
        ),
        (
            {
                "type": "spike",
                "baseline": 1,
                "magnitude": 8,
                "duration_secs": 0.3,
                "interval_secs": 0.9,
            },
            "1.1",
            9.0,
        ),
        ({"type": "spike_event", "spike_duration": "30s"}, "31", 100.0),
        (
            {
                "type": "spike",
                "baseline": 1,
                "magnitude": 8,
                "duration_secs": 2,
                "interval_secs": 0.9,
            },
            "0.9",
            9.0,
        ),
        ({"type": "flap", "enum": "neighbor_state"}, "9.9", 6.0),
        ({"type": "flap", "enum": "neighbor_state"}, "10", 1.0),
        ({"type": "flap"}, "15", 1.0),
        ({"type": "saturation", "time_to_saturate": "10s"}, "2.5", 25.0),
        ({"type": "spike_event"}, "9.9", 100.0),
        ({"type": "spike_event"}, "10", 0.0),
        ({"type": "sine", "amplitude": 2, "period_secs": 0.8, "offset": 1}, "0.2", 3.0),
    ],
)
def test_formulas(generator: dict[str, Any], x: str, value: float) -> None:
    """Each value is that of the formula, evaluated exactly and rounded once."""
    entry = compiled(metric(generator=generator, rate=20)).unwrap().entries[0]
    event = entry.event(int(Fraction(x) * 20))
    assert isinstance(event, Metric)
    assert event.value == value


@pytest.mark.parametrize("name", NAMES)
def test_each_generator_has_module_schema_and_example(name: str) -> None:
    """A schema's name is its module's, and its example compiles."""
    assert isinstance(generators.load(name), Generator | Alias)
    assert GENERATORS["generator"][name]["description"]
    assert isinstance(compiled(_written(name)), Success)


@pytest.mark.parametrize("name", LOG_NAMES)
def test_each_log_generator_has_module_schema_and_example(name: str) -> None:
    """The same for those of logs."""
    assert isinstance(log_generators.load(name), LogGenerator)
    example = GENERATORS["log_generator"][name]["examples"][0]
    assert isinstance(compiled(log(log_generator=example)), Success)


def test_an_explicit_jitter_wins() -> None:
    """The noise of an alias gives way to the entry's own jitter, and a plan shows what it became."""
    quiet = compiled(metric(generator={"type": "steady"}, jitter=0)).unwrap().entries[0]
    assert quiet.event(0) == quiet.events(range(1))[0]
    assert quiet.rewritten == {
        "generator": {"type": "sine", "amplitude": 10, "period_secs": 60, "offset": 50},
        "jitter": 0,
    }
    noisy = compiled(metric(generator={"type": "steady", "noise_seed": 3})).unwrap().entries[0]
    assert noisy.rewritten is not None
    assert noisy.rewritten["jitter"] == 1
    assert noisy.rewritten["jitter_seed"] == 3
    seeded = compiled(metric(generator={"type": "steady", "noise_seed": 3}, jitter_seed=5)).unwrap()
    assert seeded.entries[0].rewritten == {**noisy.rewritten, "jitter_seed": 5}


def test_seeds() -> None:
    """The document's seed changes what is drawn, unless a generator has its own."""
    drawn = {"type": "uniform", "min": 0, "max": 1}

    def first(of: int, **own: int) -> object:
        written = {"seed": of, "scenarios": [metric(generator={**drawn, **own})]}
        return compiled(written).unwrap().entries[0].event(0)

    assert first(1) == first(1)
    assert first(1) != first(2)
    assert first(1, seed=5) == first(2, seed=5)


def test_values_beyond_a_double_are_refused() -> None:
    """A value that no double can hold is found when the scenario is compiled."""
    written = metric(generator={"type": "step", "step_size": 1e300}, count=10**9)
    failed = compiled(written)
    assert isinstance(failed, Failure)
    assert str(failed.failure()) == "generator: makes values beyond the range of a double"
