"""Something that goes up and down: a link, a target, a neighbor."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from sonda.pipeline.scenarios.generators import Alias, Parameters, Rewritten

_STATES: Final = {
    "boolean": (1, 0),
    "link_state": (1, 0),
    "oper_state": (1, 2),
    "admin_state": (1, 2),
    "neighbor_state": (6, 1),
}


def _rewrite(parameters: Parameters) -> Rewritten:
    if "enum" in parameters:
        up, down = map(Fraction, _STATES[parameters["enum"]])
    else:
        up, down = parameters["up_value"], parameters["down_value"]
    spike = {
        "baseline": down,
        "magnitude": up - down,
        "duration_secs": parameters["up_duration"],
        "interval_secs": parameters["up_duration"] + parameters["down_duration"],
    }
    return Rewritten("spike", spike)


GENERATOR: Final = Alias(_rewrite)
