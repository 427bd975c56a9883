"""Where a 504 is told from a 502: what is known of an event that nothing was answered to.

Once a byte of it has left, the destination may have it, and the outcome is unknown (504). Before
that it cannot have it, and was not reached (502). Answers are judged where they are read.
"""

from __future__ import annotations

from typing import Final

from sonda.pipeline.problems import OutcomeUnknown, Unreachable

WHILE_UNKNOWN: Final = "before its delivery was cut off"
WHILE_UNSENT: Final = "its delivery was cut off"


def unknown_or_unsent(  # facts of one event
    target: str, step: str, *, has_left: bool, time_ns: int, unknown: str, unsent: str
) -> OutcomeUnknown | Unreachable:
    """Return the problem of an event that no answer came to: what matters is whether it *has_left*.

    *step* is what was tried last before a byte could leave. The reason is *unknown* or *unsent*.
    """
    return OutcomeUnknown(target, unknown, time_ns) if has_left else Unreachable(step, unsent)


def cut_off(
    target: str, step: str, *, has_left: bool, time_ns: int
) -> OutcomeUnknown | Unreachable:
    """Return the problem of an event that nobody waits for any longer."""
    return unknown_or_unsent(
        target, step, has_left=has_left, time_ns=time_ns, unknown=WHILE_UNKNOWN, unsent=WHILE_UNSENT
    )
