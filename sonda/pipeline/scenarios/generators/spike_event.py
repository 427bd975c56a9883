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


GENERATOR: Final = Alias(_rewrite)
