"""`after`: solved when the scenario is compiled, against a search over the other entry's values."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sonda.pipeline.scenarios.after import first_in_range
from sonda.pipeline.scenarios.plan import Scenario
from tests.unit.pipeline.scenarios.support import NOW_NS, compiled, log, metric


def _pair(generator: dict[str, Any], op: str, value: float, **changes: Any) -> Any:
    first = metric(name="first", generator=generator)
    after = {"ref": "first", "op": op, "value": value}
    second = {**metric(name="second", after=after), **changes}
    return compiled({"scenarios": [first, second]})


def _phase(plan: Scenario) -> Fraction:
    return plan.entry("second").phase


FLAP = {"type": "flap", "up_duration": "7.3s", "down_duration": "5s"}
LEAK = {"type": "saturation", "baseline": 10, "ceiling": 90, "time_to_saturate": "3m"}


@pytest.mark.parametrize(
    ("generator", "op", "value", "expected"),
    [
        (FLAP, "<", 1, Fraction("7.3")),
        ({"type": "flap", "enum": "oper_state"}, ">", 1, 10),
        (LEAK, ">", 70, 135),
        (LEAK, ">", 10, 0),
        ({"type": "degradation"}, ">", 0.1, Fraction("0.3")),
        ({"type": "spike_event", "spike_height": -5, "spike_duration": "3s"}, ">", -1, 3),
        ({"type": "sequence", "values": [3, 3, 9, 1]}, ">", 3, 2),
        ({"type": "sequence", "values": [3, 3, 9, 1]}, "<", 3, 3),
        ({"type": "step", "start": 1, "step_size": 0.1}, ">", 2, 11),
        ({"type": "step", "start": 1, "step_size": -2}, "<", -4, 3),
        ({"type": "step", "step_size": 3, "max": 10}, ">", 8, 3),
        ({"type": "step", "step_size": 7, "max": 10}, ">", 8, 7),
        (
            {
                "type": "spike",
                "baseline": 5,
                "magnitude": 9,
                "duration_secs": 2,
                "interval_secs": 8,
            },
            "<",
            14,
            2,
        ),
        ({"type": "sawtooth", "min": 0, "max": 3, "period_secs": 1}, ">", 1, Fraction(1, 3)),
    ],
)
def test_it_is_solved_exactly(
    generator: dict[str, Any], op: str, value: float, expected: Fraction
) -> None:
    """The time is a fraction, not a tick's or a float's."""
    assert _phase(_pair(generator, op, value).unwrap()) == expected


def test_chains_and_delays_add_up() -> None:
    """Each begins with what the one before it came to; the order in the document is free."""
    last = metric(name="c", after={"ref": "b", "op": ">", "value": 70, "delay": "1.5s"})
    middle = metric(
        name="b", after={"ref": "a", "op": "<", "value": 1}, generator=LEAK, phase_offset="4s"
    )
    first = metric(name="a", generator=FLAP, phase_offset="2s")
    plan = compiled({"scenarios": [last, middle, first]}).unwrap()
    starts = {entry.id: entry.phase for entry in plan.entries}
    begin = 2 + Fraction("7.3")
    assert starts == {"a": 2, "b": begin + 4, "c": begin + 4 + 135 + Fraction("1.5")}
    assert plan.event("c", 0).time_ns == NOW_NS + 149_800_000_000
    assert [entry.after for entry in plan.entries] == ["b", "a", None]


def test_it_waits_for_a_fleet_and_for_stages() -> None:
    """A sequence of stages is over when its tick is due; of a fleet the series' own time counts."""
    stages = [{"rate": 10, "for": "10s", "ramp": True}]
    listed = {"type": "sequence", "values": [0] * 8 + [1]}
    first = metric(name="a", rate=None, stages=stages, generator=listed, series=3)
    after = metric(name="b", after={"ref": "a", "op": ">", "value": 0})
    plan = compiled({"scenarios": [first, after]}).unwrap()
    assert plan.entry("b").phase == 4


def test_logs_may_wait_for_metrics() -> None:
    """Only the entry that is waited for needs values."""
    after = {"ref": "a", "op": "<", "value": 1}
    document = {"scenarios": [metric(name="a", generator=FLAP), log(name="b", after=after)]}
    assert compiled(document).unwrap().entry("b").phase == Fraction("7.3")


@pytest.mark.parametrize(
    ("generator", "op", "value", "text"),
    [
        (FLAP, ">", 0, 'entry "first" is > 0 from its start on'),
        (FLAP, "<", 0, 'entry "first" is never < 0'),
        (LEAK, ">", 90, "is never > 90"),
        (LEAK, ">", 9.9, "is > 9.9 from its start on"),
        (LEAK, "<", 5, "is never < 5"),
        ({"type": "sequence", "values": [1, 2]}, ">", 2, "is never > 2"),
        ({"type": "step", "step_size": 5, "max": 10}, ">", 5, "is never > 5"),
        ({"type": "step", "step_size": 1}, "<", 0, "is never < 0"),
        ({"type": "step", "step_size": -1}, ">", 0, "is never > 0"),
        ({"type": "spike_event", "spike_duration": "31s"}, "<", 1, "is never < 1"),
        ({"type": "constant", "value": 1}, "<", 1, "has a generator that cannot be solved"),
        ({"type": "steady"}, "<", 1, "has a generator that cannot be solved"),
    ],
)
def test_what_cannot_be_solved(generator: dict[str, Any], op: str, value: float, text: str) -> None:
    """Each says why, with the place of `after`."""
    problem = str(_pair(generator, op, value).failure())
    assert problem.startswith("scenarios[1].after: ")
    assert text in problem


@pytest.mark.parametrize(
    ("documents", "text"),
    [
        ([{"ref": "x"}], 'scenarios[0].after.ref: there is no entry "x"'),
        ([{"ref": "e0"}], "scenarios[0].after: is a cycle (e0 after e0)"),
        ([{"ref": "e1"}, {"ref": "e0"}], "scenarios[0].after: is a cycle (e0 after e1 after e0)"),
        ([{"ref": "e1"}, {"ref": "e1"}], "scenarios[1].after: is a cycle (e1 after e1)"),
        ([{"ref": "e0", "op": "=="}], "scenarios[0].after.op: unknown variant '=='"),
        ([{"ref": "e0", "more": 1}], "scenarios[0].after: unknown field 'more'"),
        ([{"op": "<"}], "scenarios[0].after: missing field 'ref'"),
        ([None, {"ref": "e0", "delay": "soon"}], "scenarios[1].after.delay"),
    ],
)
def test_refusals(documents: list[dict[str, Any] | None], text: str) -> None:
    """What is no reference, a cycle, or not as the format has it."""
    entries = [
        metric(
            name=f"e{place}",
            generator=FLAP,
            after=None if after is None else {"op": "<", "value": 1, **after},
        )
        for place, after in enumerate(documents)
    ]
    if documents == [{"op": "<"}]:
        del entries[0]["after"]["value"]
    assert text in str(compiled({"scenarios": entries}).failure())


def test_the_other_entry_has_to_last() -> None:
    """A condition that would hold after its end never does."""
    for ends, text in (
        ({"duration": "2m"}, "ends after 120 s, and the condition would hold after 135 s"),
        ({"count": 100}, "ends after 99 s, and the condition would hold after 135 s"),
    ):
        first = {**metric(name="a", generator=LEAK), **ends}
        after = metric(name="b", after={"ref": "a", "op": ">", "value": 70})
        assert text in str(compiled({"scenarios": [first, after]}).failure())
    listed = metric(name="a", generator={"type": "sequence", "values": [0, 0, 1]}, count=2)
    after = metric(name="b", after={"ref": "a", "op": ">", "value": 0})
    assert "ends before it is > 0" in str(compiled({"scenarios": [listed, after]}).failure())


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 60).flatmap(lambda m: st.tuples(*[st.just(m), *[st.integers(0, m - 1)] * 3])))
def test_first_in_range_against_a_search(drawn: tuple[int, int, int, int]) -> None:
    """The logarithmic answer is that of trying every k."""
    modulus, step, one, other = drawn
    low, high = sorted((one, other))
    tried = next((k for k in range(modulus) if low <= k * step % modulus <= high), None)
    assert first_in_range(step, modulus, low, high) == tried
