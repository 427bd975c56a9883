"""A line is verified by the bytes at its offset."""

from __future__ import annotations

from sonda.pipeline.verify.file import judge
from sonda.pipeline.verify.judging import NOT_SEEN, SEEN, Different


def test_the_bytes_are_compared() -> None:
    """Equal bytes are the event, none are nothing, others are another."""
    assert judge(b"line\n", b"line\n") is SEEN
    assert judge(b"", b"line\n") == NOT_SEEN
    assert judge(b"lime\n", b"line\n") == Different("line\n", "lime\n", "offset")
