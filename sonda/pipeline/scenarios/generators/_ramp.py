"""What the aliases of a sawtooth share: a baseline, a ceiling, and the time from one to the other."""

from __future__ import annotations

from sonda.pipeline.scenarios.generators import Parameters


def ramp(parameters: Parameters, time: str) -> Parameters:
    """Return the sawtooth that *parameters* mean; *time* names the one that is its period."""
    low, high = parameters["baseline"], parameters["ceiling"]
    return {"min": low, "max": high, "period_secs": parameters[time]}


def rises(parameters: Parameters) -> tuple[str, str] | None:
    """Check that the baseline is at most the ceiling."""
    if parameters["baseline"] > parameters["ceiling"]:
        return "baseline", "must be at most ceiling"
    return None
