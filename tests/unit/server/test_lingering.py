"""A connection that is closed while its client still sends: the answer is read first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from unittest.mock import Mock, call

from sonda.server.lingering import LINGER_S, LingeringTransport
from tests.support.virtual_time import run_virtually


class Recorder:
    """A transport that keeps what it is told."""

    def __init__(self) -> None:
        self.told = Mock()
        self.told.is_closing.return_value = False

    def calls(self, *but: str) -> list[str]:
        return [one[0] for one in self.told.method_calls if one[0] not in ("is_closing", *but)]


def play(work: Callable[[Recorder, LingeringTransport], None], *, expects_input: bool) -> None:
    async def main() -> None:
        recorder = Recorder()
        loop = asyncio.get_running_loop()
        work(recorder, LingeringTransport(recorder.told, loop, lambda: expects_input))
        await asyncio.sleep(LINGER_S + 1)  # in virtual time

    run_virtually(main())


def test_until_it_lingers_it_is_the_connection() -> None:
    """Writes go straight through."""

    def work(recorder: Recorder, transport: LingeringTransport) -> None:
        transport.write(b"x")
        assert not transport.is_closing()
        assert recorder.told.write.call_args == call(b"x")

    play(work, expects_input=True)


def test_the_client_may_read_its_answer_first() -> None:
    """Only our side ends; what is written from then on goes nowhere, and the time is bounded."""
    seen: list[Recorder] = []

    def work(recorder: Recorder, transport: LingeringTransport) -> None:
        seen.append(recorder)
        transport.close()
        assert transport.is_closing()
        transport.write(b"too late")
        assert recorder.calls() == ["write_eof", "resume_reading"]

    play(work, expects_input=True)
    assert seen[0].calls() == ["write_eof", "resume_reading", "abort"]


def test_a_client_that_has_sent_all_is_not_waited_for() -> None:
    """Then nothing unread would make the system reset the connection."""

    def work(recorder: Recorder, transport: LingeringTransport) -> None:
        transport.close()
        assert recorder.calls() == ["close"]
        transport.lost()

    play(work, expects_input=False)


def test_a_second_close_ends_it() -> None:
    """As does the client's end, after which no timer is left."""
    seen: list[Recorder] = []

    def work(recorder: Recorder, transport: LingeringTransport) -> None:
        seen.append(recorder)
        transport.close()
        transport.close()
        transport.lost()

    play(work, expects_input=True)
    assert seen[0].calls() == ["write_eof", "resume_reading", "close"]
