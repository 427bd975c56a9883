"""How a call of `/scenarios` is refused: a status, and what to do."""

from __future__ import annotations

from sonda.pipeline.problems import Problem
from sonda.statuses import http_status


class Refusal(Exception):  # noqa: N818  # how a check says no, not an error
    """A refused call: its *status* and its text."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status

    @classmethod
    def of(cls, problem: Problem) -> Refusal:
        """Return the refusal for a problem of the pipeline."""
        return cls(http_status(problem), str(problem))


class AnswerLost(Refusal):
    """The connection to the runner broke before its answer: what was asked for may have been done."""
