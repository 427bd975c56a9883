"""A value that stays near its center: a slow sine with noise."""

from __future__ import annotations

from typing import Final

from sonda.pipeline.scenarios.generators import Alias, Parameters, Rewritten


def _rewrite(parameters: Parameters) -> Rewritten:
    sine = {
        "amplitude": parameters["amplitude"],
        "period_secs": parameters["period"],
        "offset": parameters["center"],
    }
    return Rewritten("sine", sine, parameters["noise"], parameters.get("noise_seed"))


GENERATOR: Final = Alias(_rewrite)
