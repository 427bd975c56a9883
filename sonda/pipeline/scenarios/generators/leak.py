"""Something that fills up and is never emptied."""

from __future__ import annotations

from typing import Final

from sonda.pipeline.scenarios.generators import Alias, Parameters, Rewritten
from sonda.pipeline.scenarios.generators._ramp import ramp, rises


def _rewrite(parameters: Parameters) -> Rewritten:
    return Rewritten("sawtooth", ramp(parameters, "time_to_ceiling"))


GENERATOR: Final = Alias(_rewrite, rises, must_not_reset=True)
