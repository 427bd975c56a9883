"""What a scrape says of a metric beside its value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

_COUNTED: Final = "_total"


@dataclass(frozen=True, slots=True)
class MetricMetadata:
    """The type of a metric, as Prometheus names it, and what it is about."""

    type: str
    help: str


def metadata_of(written: Mapping[str, Any], entry_id: str) -> MetricMetadata:
    """Return the metadata of an entry of metrics, from what it says or from its name."""
    signal = written["signal_type"]
    by_name = "counter" if written["name"].endswith(_COUNTED) else "gauge"
    default = by_name if signal == "metrics" else signal
    about = written.get("help") or f"Values of scenario entry {entry_id}."
    return MetricMetadata(written.get("metric_type", default), about)
