"""What a scenario's histogram or summary is at one tick: one event of many samples, whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from msgspec import Struct


class Histogram(Struct, frozen=True, kw_only=True):
    """All buckets of a histogram at one time, cumulative since *since_ns*.

    *counts* has for each of the ascending *bounds* how many observations were at most that; *count*
    is how many there were, *total* their sum.
    """

    signal_type: ClassVar[Literal["metrics"]] = "metrics"
    name: str
    bounds: Sequence[float]
    counts: Sequence[int]
    count: int
    total: float
    since_ns: int
    time_ns: int
    has_negative: bool = False
    """Whether an observation may have been below 0."""
    labels: Mapping[str, str] = {}
    timestamp: str | None = None
    encoder: Any = None
    sink: Any = None


class Summary(Struct, frozen=True, kw_only=True):
    """The quantiles of what was observed last, and *count* and *total* of all since *since_ns*.

    *values* has the value of each of the *quantiles*.
    """

    signal_type: ClassVar[Literal["metrics"]] = "metrics"
    name: str
    quantiles: Sequence[float]
    values: Sequence[float]
    count: int
    total: float
    since_ns: int
    time_ns: int
    labels: Mapping[str, str] = {}
    timestamp: str | None = None
    encoder: Any = None
    sink: Any = None
