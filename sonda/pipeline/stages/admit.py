"""Refuse what a caller's key may not use."""

from __future__ import annotations

from returns.result import Failure, Result, Success

from sonda.pipeline.model import EncodedEvent
from sonda.pipeline.policy.callers import Caller
from sonda.pipeline.problems import Problem


def admit(encoded: EncodedEvent, *, caller: Caller) -> Result[EncodedEvent, Problem]:
    """Return *encoded*; fail with `Forbidden` where the caller may use named destinations alone.

    Such a caller may not bring an encoder and a sink of its own.
    """
    if encoded.order.destination is None and (forbidden := caller.judge_inline()) is not None:
        return Failure(forbidden)
    return Success(encoded)
