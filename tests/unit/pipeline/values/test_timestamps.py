"""Instants: what RFC 3339 text is read, how it is written, and a clock that never repeats."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonda.pipeline.values.timestamps import (
    LATEST_NS,
    NS_PER_MS,
    NS_PER_S,
    STEP_NS,
    parse_rfc3339,
    rfc3339,
    rfc3339_ms,
    unique_clock,
)
from tests.property.strategies import times_ns, unhurried

NOT_RFC3339 = "expected RFC 3339 with an offset and at most nine decimals"
OUTSIDE = "outside 1970-01-01T00:00:00Z to 2262-04-11T23:47:16.854775807Z"

nearly_rfc3339 = st.from_regex(
    r"[0-9]{4}-[01][0-9]-[0-3][0-9][Tt ][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\.[0-9]{0,10})?"
    r"([Zz]|[+-][0-2][0-9]:[0-6][0-9])?",
    fullmatch=True,
)


@unhurried
@given(times_ns())
def test_what_is_written_reads_back(time_ns: int) -> None:
    """The nine decimals lose nothing."""
    assert parse_rfc3339(rfc3339(time_ns)) == time_ns


@unhurried
@given(times_ns())
def test_milliseconds_are_floored(time_ns: int) -> None:
    """An event is never dated after its own instant."""
    assert parse_rfc3339(rfc3339_ms(time_ns)) == time_ns // NS_PER_MS * NS_PER_MS


@unhurried
@given(
    st.integers(24 * 3600 * NS_PER_S, LATEST_NS - 24 * 3600 * NS_PER_S),
    st.sampled_from("+-"),
    st.integers(0, 23),
    st.integers(0, 59),
)
def test_an_offset_moves_the_instant(time_ns: int, sign: str, hours: int, minutes: int) -> None:
    """A local time east of Greenwich is an earlier instant, one west of it a later one."""
    local = rfc3339(time_ns).replace("Z", f"{sign}{hours:02d}:{minutes:02d}")
    ahead_ns = (hours * 60 + minutes) * 60 * NS_PER_S
    assert parse_rfc3339(local) == time_ns + (-ahead_ns if sign == "+" else ahead_ns)


@pytest.mark.parametrize(
    ("text", "time_ns"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.000000001Z", 1),
        ("1970-01-01T00:00:00.1Z", 100_000_000),
        ("1970-01-01t00:00:01z", NS_PER_S),
        ("1970-01-01T00:00:00-00:00", 0),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1969-12-31T23:30:00-00:30", 0),
        ("1970-01-01T23:59:00+23:59", 0),
        ("2000-02-29T12:00:00Z", 951_825_600 * NS_PER_S),
        ("2026-03-23T14:59:04.840999999Z", 1_774_277_944_840_999_999),
        ("2026-11-23T08:00:00.123456789+05:30", 1_795_401_000_123_456_789),
        ("2262-04-11T23:47:16.854775807Z", LATEST_NS),
        ("2262-04-12T00:47:16.854775807+01:00", LATEST_NS),
    ],
)
def test_reads_rfc3339(text: str, time_ns: int) -> None:
    """Letters in either case, any offset, up to nine decimals, the first and the last instant."""
    assert parse_rfc3339(text) == time_ns


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", NOT_RFC3339),
        ("now", NOT_RFC3339),
        ("1774277944", NOT_RFC3339),
        ("2026-03-23", NOT_RFC3339),
        ("2026-03-23T14:59:04", NOT_RFC3339),
        ("2026-03-23 14:59:04Z", NOT_RFC3339),
        ("2026-03-23T14:59Z", NOT_RFC3339),
        ("2026-03-23T14:59:04.Z", NOT_RFC3339),
        ("2026-03-23T14:59:04.0123456789Z", NOT_RFC3339),
        ("2026-03-23T14:59:04,5Z", NOT_RFC3339),
        ("2026-03-23T14:59:04+0100", NOT_RFC3339),
        ("2026-03-23T14:59:04+01", NOT_RFC3339),
        ("2026-03-23T14:59:04Z\n", NOT_RFC3339),
        (" 2026-03-23T14:59:04Z", NOT_RFC3339),
        ("20260323T145904Z", NOT_RFC3339),
        ("2026-W13-1T14:59:04Z", NOT_RFC3339),
        ("+2026-03-23T14:59:04Z", NOT_RFC3339),
        ("٢٠٢٦-03-23T14:59:04Z", NOT_RFC3339),
        ("2026-03-23T14:59:60Z", NOT_RFC3339),
        ("2016-12-31T23:59:60Z", NOT_RFC3339),
        ("2026-03-23T24:00:00Z", NOT_RFC3339),
        ("2026-03-23T14:60:04Z", NOT_RFC3339),
        ("2026-03-23T14:59:04+24:00", NOT_RFC3339),
        ("2026-03-23T14:59:04+01:60", NOT_RFC3339),
        ("1969-12-31T23:59:59.999999999Z", OUTSIDE),
        ("1970-01-01T00:00:00+00:01", OUTSIDE),
        ("0001-01-01T00:00:00+23:59", OUTSIDE),
        ("2262-04-11T23:47:16.854775808Z", OUTSIDE),
        ("2262-04-11T23:47:16.854775807-00:01", OUTSIDE),
        ("9999-12-31T23:59:59-23:59", OUTSIDE),
    ],
)
def test_refuses_what_is_no_instant_of_ours(text: str, reason: str) -> None:
    """Anything else is refused with the reason, a second of 60 included."""
    with pytest.raises(ValueError, match=rf"^{re.escape(reason)}\Z"):
        parse_rfc3339(text)


@pytest.mark.parametrize(
    "text",
    [
        "2026-02-30T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-01-00T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "0000-01-01T00:00:00Z",
    ],
)
def test_refuses_days_that_never_were(text: str) -> None:
    """A day that is not in the calendar is refused, in the calendar's own words."""
    with pytest.raises(ValueError, match=r"^not a valid instant: \S"):
        parse_rfc3339(text)


@unhurried
@given(st.text() | nearly_rfc3339)
def test_reading_is_total(text: str) -> None:
    """Any text gives an instant or a `ValueError`, nothing else."""
    try:
        time_ns = parse_rfc3339(text)
    except ValueError:
        return
    assert 0 <= time_ns <= LATEST_NS


@pytest.mark.parametrize(
    ("time_ns", "nine", "three"),
    [
        (0, "1970-01-01T00:00:00.000000000Z", "1970-01-01T00:00:00.000Z"),
        (999_999, "1970-01-01T00:00:00.000999999Z", "1970-01-01T00:00:00.000Z"),
        (999_999_999, "1970-01-01T00:00:00.999999999Z", "1970-01-01T00:00:00.999Z"),
        (LATEST_NS, "2262-04-11T23:47:16.854775807Z", "2262-04-11T23:47:16.854Z"),
    ],
)
def test_writes_rfc3339(time_ns: int, nine: str, three: str) -> None:
    """Always UTC, always nine or three decimals."""
    assert (rfc3339(time_ns), rfc3339_ms(time_ns)) == (nine, three)


def _clock_over(readings: list[int]) -> Iterator[int]:
    source = iter(readings)
    now_ns = unique_clock(lambda: next(source))
    return (now_ns() for _ in readings)


@pytest.mark.parametrize(
    ("readings", "instants"),
    [
        ([5, 5, 5], [5, 6, 7]),
        ([5, 3, 4], [5, 6, 7]),
        ([5, 5, 6, 6], [5, 6, 7, 8]),
        ([5, 5, 20], [5, 6, 20]),
        ([0, 0], [0, 1]),
    ],
)
def test_the_clock_moves_on_when_its_source_does_not(
    readings: list[int], instants: list[int]
) -> None:
    """A source that stands still or goes back gives the next free nanosecond."""
    assert list(_clock_over(readings)) == instants


@unhurried
@given(st.lists(st.integers(0, 20) | times_ns()))
def test_the_clock_never_repeats(readings: list[int]) -> None:
    """No instant is given twice, and none is earlier than the source's."""
    given_out = list(_clock_over(readings))
    assert len(set(given_out)) == len(given_out)
    assert all(ours >= read for ours, read in zip(given_out, readings, strict=True))


def test_the_clock_reads_the_time_of_day() -> None:
    """It follows the clock that it is given."""
    now_ns = unique_clock(time.time_ns)
    assert parse_rfc3339("2025-01-01T00:00:00Z") < now_ns() < now_ns()


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
