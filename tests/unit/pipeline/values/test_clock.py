"""The clock of events: unique, and never further from the wall clock than need be."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from sonda.pipeline.values.clock import STEP_NS, unique_clock

DAY_NS = 24 * 3600 * STEP_NS
NOW_NS = 1_700_000_000 * STEP_NS


def readings(times_ns: Iterable[int]) -> Callable[[], int]:
    return iter(times_ns).__next__


def test_a_tie_moves_one_on() -> None:
    """Equal readings give one nanosecond more each."""
    clock = unique_clock(readings([NOW_NS, NOW_NS, NOW_NS, NOW_NS + 10]))
    assert [clock() for _ in range(4)] == [NOW_NS, NOW_NS + 1, NOW_NS + 2, NOW_NS + 10]


def test_a_step_back_is_followed_at_once() -> None:
    """One event of a clock that was a day ahead leaves the next ones their right time."""
    clock = unique_clock(readings([NOW_NS + DAY_NS, NOW_NS, NOW_NS + 5]))
    assert [clock() for _ in range(3)] == [NOW_NS + DAY_NS, NOW_NS, NOW_NS + 5]


def test_a_step_back_of_a_second_or_less_keeps_the_order() -> None:
    """What may be slewing does not turn the order of events around."""
    clock = unique_clock(readings([NOW_NS, NOW_NS - STEP_NS, NOW_NS - STEP_NS - 1]))
    assert [clock() for _ in range(3)] == [NOW_NS, NOW_NS + 1, NOW_NS - STEP_NS - 1]


def test_instants_from_before_a_step_back_are_not_given_again() -> None:
    """When the wall clock comes by once more, the instants that were given are left out."""
    again = [NOW_NS, NOW_NS + 1, NOW_NS]
    clock = unique_clock(readings([*again, NOW_NS - 2 * STEP_NS, *again]))
    assert [clock() for _ in range(7)] == [
        *(NOW_NS, NOW_NS + 1, NOW_NS + 2),
        NOW_NS - 2 * STEP_NS,
        *(NOW_NS + 3, NOW_NS + 4, NOW_NS + 5),
    ]


@given(st.lists(st.integers(-3 * STEP_NS, 3 * STEP_NS) | st.integers(-3, 3), max_size=60))
def test_no_instant_twice_and_none_far_off(steps_ns: list[int]) -> None:
    """Whatever the wall clock does: no instant twice, and never more than a second off it."""
    read_ns, walls_ns = NOW_NS, []
    for step_ns in steps_ns:
        read_ns += step_ns
        walls_ns.append(read_ns)
    clock = unique_clock(readings(walls_ns))
    times_ns = [clock() for _ in walls_ns]
    assert len(set(times_ns)) == len(times_ns)
    for time_ns, wall_ns in zip(times_ns, walls_ns, strict=True):
        assert 0 <= time_ns - wall_ns <= STEP_NS + len(walls_ns)


def test_threads_share_it() -> None:
    """Threads that ask at once get an instant each."""
    clock = unique_clock(lambda: NOW_NS)
    with ThreadPoolExecutor(8) as threads:
        times_ns = list(threads.map(lambda _: clock(), range(2000)))
    assert sorted(times_ns) == [NOW_NS + n for n in range(2000)]
