"""Events that never left wait for longer each time, and go again in their order."""

from __future__ import annotations

from random import Random

from sonda.pipeline.scenarios.unsent import Unsent


class Longest(Random):
    """Draws the upper end."""

    def uniform(self, a: float, b: float) -> float:
        return b


def test_ticks_go_again_in_order() -> None:
    """As a range where they are one."""
    unsent = Unsent(Longest())
    unsent.postpone([5, 6], "x", 0, 0)
    unsent.postpone([3, 4, 9], "y", 0, 0)
    assert unsent.ticks == [3, 4, 5, 6, 9]
    assert unsent.text == "y"
    assert unsent.take_before(5) == range(3, 5)
    assert unsent.take(2) == range(5, 7)
    assert unsent.take(5) == range(9, 10)
    assert list(unsent.take(5)) == []


def test_gaps_are_kept() -> None:
    """What lies between has its verdict already."""
    unsent = Unsent(Longest())
    unsent.postpone([1, 3], "x", 0, 0)
    assert unsent.take(9) == [1, 3]


def test_the_wait_doubles_with_each_try() -> None:
    """Those that were handed over before the last wait began belong to the try before; 5 s at most."""
    unsent = Unsent(Longest())
    unsent.postpone([0], "x", handed_s=0, now_s=10)
    assert unsent.retry_at_s == 10.1
    unsent.postpone([1], "x", handed_s=9, now_s=10.05)
    assert unsent.retry_at_s == 10.1
    waits = []
    for now_s in range(20, 120, 10):
        unsent.postpone([0], "x", handed_s=now_s, now_s=now_s)
        waits.append(round(unsent.retry_at_s - now_s, 3))
    assert waits == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0, 5.0, 5.0]


def test_what_has_left_begins_anew() -> None:
    """The time since which nothing has left is that of the first group of them."""
    unsent = Unsent(Longest())
    unsent.postpone([0], "x", handed_s=0, now_s=0)
    unsent.note(has_left=False, now_s=1)
    unsent.note(has_left=False, now_s=2)
    assert unsent.since_s == 1
    unsent.note(has_left=True, now_s=3)
    assert unsent.since_s is None
    unsent.postpone([0], "x", handed_s=10, now_s=10)
    assert unsent.retry_at_s == 10.1
