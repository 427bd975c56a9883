"""Who hears of finished deliveries and of connections: nobody, unless whoever opens a pipeline asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from returns.result import Result

    from sonda.pipeline.delivery import Delivery
    from sonda.pipeline.model import Receipt
    from sonda.pipeline.problems import Problem


class Observer:
    """Hears of each event once its outcome is known, and of connections; this one does nothing.

    An observer is called in the event loop, and must not block or raise.
    """

    def finished(self, delivery: Delivery, outcome: Result[Receipt, Problem]) -> None:
        """Take note of an event that has its outcome, whoever has handed it in."""

    def connection_opened(self, sink: str) -> None:
        """Take note of a connection that can be used; *sink* is the type of the sink."""

    def connection_closed(self, sink: str) -> None:
        """Take note of the end of one."""


NOBODY: Final = Observer()
