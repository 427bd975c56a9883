"""The dry run of remote write: what is shown is what arrives."""

from __future__ import annotations

import pytest
import snappy  # type: ignore[import-untyped]

from tests.support.destinations import TIME_NS, http_destination
from tests.support.previews import assert_posted, metric_event, previewed, previewed_then_sent

DECODED = {
    "timeseries": [
        {
            "labels": [{"name": "__name__", "value": "deploys"}, {"name": "job", "value": "ci"}],
            "samples": [{"value": 1.0, "timestamp": str(TIME_NS // 1_000_000)}],
        }
    ]
}


@pytest.mark.parametrize("sink", ["remote_write", "http_push"])
def test_remote_write(sink: str) -> None:
    """The packed body and its headers, beside what they mean."""
    with http_destination() as destination:
        event = metric_event({"type": sink, "url": f"{destination.url}/write"}, "remote_write")
        departure = previewed_then_sent(event)
        assert_posted(departure, destination)
    document = previewed(event).document()
    assert document["decoded"] == DECODED
    assert document["hex"] == departure.body.hex()
    assert snappy.decompress(departure.body).count(b"deploys") == 1
    assert "text" not in document
