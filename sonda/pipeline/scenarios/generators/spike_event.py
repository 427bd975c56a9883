"""A short event that comes again and again."""

from __future__ import annotations

from typing import Final

from sonda.pipeline.scenarios.generators import Alias, Parameters, Rewritten


def _rewrite(parameters: Parameters) -> Rewritten:
    spike = {
        "baseline": parameters["baseline"],
        "magnitude": parameters["spike_height"],
        "duration_secs": parameters["spike_duration"],
        "interval_secs": parameters["spike_interval"],
    }
    return Rewritten("spike", spike)


def _check(parameters: Parameters) -> tuple[str, str] | None:
    if parameters["spike_duration"] >= parameters["spike_interval"]:
        return "spike_duration", "must be below spike_interval"
    return None


GENERATOR: Final = Alias(_rewrite, _check)
