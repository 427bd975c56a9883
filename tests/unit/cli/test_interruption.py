"""Signals that stop a run, before it, while it goes on and after it."""

from __future__ import annotations

import signal

import pytest

from sonda.cli.interruption import Stops


def _interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


def test_a_signal_before_the_run_stops_it_as_it_begins() -> None:
    """While modules are loaded and the scenario is compiled nothing is lost by a signal."""
    numbers: list[int] = []
    with Stops() as stops:
        _interrupt()
        with stops.calling(numbers.append):
            assert numbers == [1]
            signal.raise_signal(signal.SIGTERM)
            assert numbers == [1, 2]
        _interrupt()  # nothing is left to stop, and the ledger is to be printed
    assert numbers == [1, 2]


def test_a_second_signal_is_not_waited_out() -> None:
    """What cannot be stopped in order ends at a second signal."""
    with Stops():
        _interrupt()
        with pytest.raises(KeyboardInterrupt):
            _interrupt()


def test_what_may_never_end_ends_at_the_first_signal() -> None:
    """Such as reading what a terminal never gives, also where the signal came just before."""
    with Stops() as stops:
        with pytest.raises(KeyboardInterrupt), stops.raising():
            _interrupt()
        with pytest.raises(KeyboardInterrupt), stops.raising():
            pytest.fail("the signal has come")


def test_handlers_are_as_before_afterwards() -> None:
    """Whoever is next handles signals by its own way."""
    before = signal.getsignal(signal.SIGTERM)
    with Stops():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before
