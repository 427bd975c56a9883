"""What a broker's answers, or their absence, say of a record."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("aiokafka")

from aiokafka.errors import (
    KafkaConnectionError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
)

from sonda.pipeline.sinks.kafka.cluster import (
    CurrentStep,
    Delivered,
    NoResponse,
    Refusal,
    _judge,
    _kept,
)


def batch(**more: Any) -> Any:
    """Return a batch of one record that the broker has refused."""
    plain = {
        "error": MessageSizeTooLargeError(),
        "error_name": "MESSAGE_TOO_LARGE",
        "unanswered": False,
        "is_piece": False,
        "record_count": 1,
        "wanted": lambda: False,
        "retry_count": 2,
    }
    return SimpleNamespace(**{**plain, **more})


def test_a_refusal_of_a_record_that_was_alone_is_about_it() -> None:
    """Of several nobody can tell: then it goes once more, by itself."""
    refused = MessageSizeTooLargeError()
    assert _judge(batch(), refused) == Refusal("MESSAGE_TOO_LARGE", True)
    assert _judge(batch(record_count=2), refused) == Refusal("MESSAGE_TOO_LARGE", False)
    assert _judge(batch(record_count=2, is_piece=True), refused).meant  # type: ignore[union-attr]


def test_a_gap_before_a_record_is_no_fault_of_its_own() -> None:
    """Its sequence number follows one that the broker never got."""
    gap = OutOfOrderSequenceNumber()
    assert _judge(batch(error=gap, error_name="GAP"), gap) == Refusal("GAP", False)


def test_without_any_answer_the_outcome_is_unknown() -> None:
    """With the reason, unless the time was over."""
    assert _judge(batch(error=None), TimeoutError()) == NoResponse()
    found = _judge(batch(error=None), KafkaConnectionError("gone"))
    assert isinstance(found, NoResponse)
    assert "gone" in found.why


@pytest.mark.parametrize(
    ("more", "exc"),
    [
        ({"unanswered": True}, MessageSizeTooLargeError()),
        ({"unanswered": True}, TimeoutError()),
        ({"wanted": lambda: True}, TimeoutError()),
    ],
)
def test_a_refusal_beside_a_try_without_an_answer_is_none(
    more: dict[str, Any], exc: Exception
) -> None:
    """That try may have come through, or a neighbour has the batch tried again."""
    assert _judge(batch(**more), exc) == NoResponse("after MESSAGE_TOO_LARGE")


def test_a_batch_that_was_refused_until_the_end_was_refused() -> None:
    """Nobody has it tried again: it has not been kept."""
    assert _judge(batch(record_count=2), TimeoutError()) == Refusal("MESSAGE_TOO_LARGE", True)


@pytest.mark.parametrize(("offset", "shown"), [(7, 7), (-1, None)])
def test_where_a_record_is(offset: int, shown: int | None) -> None:
    """A broker that had it already may have forgotten where."""
    found = _kept(SimpleNamespace(topic="t", partition=1, offset=offset), batch())
    assert isinstance(found, Delivered)
    assert (found.place.topic, found.place.partition, found.place.offset) == ("t", 1, shown)
    assert found.tries == 2


def test_a_step_keeps_its_failure_until_the_next_one() -> None:
    """To begin it again says nothing new; a new failure does."""
    step = CurrentStep("connect", "refused")
    step.begin("connect")
    assert step == CurrentStep("connect", "refused")
    step.begin("connect", "timed out")
    assert step.failure == "timed out"
    step.begin("find the leader")
    assert step == CurrentStep("find the leader")
