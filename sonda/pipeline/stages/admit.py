"""Refuse what a caller's key, or the operator's policy, does not allow an event to use."""

from __future__ import annotations

from returns.result import Failure, Result, Success

from sonda.pipeline.model import EncodedEvent
from sonda.pipeline.net import Network
from sonda.pipeline.policy.callers import Caller
from sonda.pipeline.problems import Problem
from sonda.pipeline.stages.verify import permit


def admit(
    encoded: EncodedEvent, *, caller: Caller, network: Network
) -> Result[EncodedEvent, Problem]:
    """Return *encoded*; fail with `Forbidden` where the caller may use named destinations alone.

    Such a caller may not bring an encoder and a sink of its own. Nobody may have an event read back
    from where the server may not connect to.
    """
    if (
        caller.allowed is not None
        and encoded.validated.destination is None
        and (forbidden := caller.judge_inline()) is not None
    ):
        return Failure(forbidden)
    return Success(encoded) if encoded.validated.verify is None else permit(encoded, network)
