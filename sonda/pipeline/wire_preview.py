"""What a dry run shows: how an event would leave, and what its bytes mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from sonda.pipeline.text.cards import Shown, html_of_preview, lines_of_preview
from sonda.pipeline.values.timestamps import rfc3339

if TYPE_CHECKING:
    from sonda.pipeline.model import Signal


class WirePreview(Struct, frozen=True):
    """How an event would leave: its *body* is sent byte by byte, and credentials are masked.

    *framing* says what the event is among others. *facts* are what else the destination is told, or
    what tells where it goes: a request line, a topic, a path.
    """

    target: str
    framing: str
    body: bytes
    facts: Mapping[str, str | int] = {}
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Preview(Shown):
    """What would be sent; *decoded* is what the event's bytes mean where they are no text."""

    signal_type: Signal
    encoder: str
    sink: str
    time_ns: int
    departure: WirePreview
    decoded: Mapping[str, Any] | None = None
    warnings: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """Write it as JSON has it: the bytes as text, or as hex beside what they mean."""
        departure = self.departure
        body: dict[str, Any] = (
            {"text": departure.body.decode()}
            if self.decoded is None
            else {"hex": departure.body.hex(), "decoded": self.decoded}
        )
        return {
            "encoder": self.encoder,
            "sink": self.sink,
            "target": departure.target,
            "timestamp": rfc3339(self.time_ns),
            **departure.facts,
            **({"headers": departure.headers} if departure.headers else {}),
            "framing": departure.framing,
            "bytes": len(departure.body),
            **body,
        }

    def answer(self) -> dict[str, Any]:
        """Write the answer of a dry run."""
        document = {"sent": False, "signal_type": self.signal_type, "preview": self.document()}
        return {**document, "warnings": self.warnings} if self.warnings else document

    def __str__(self) -> str:
        return "\n".join(lines_of_preview(self.document(), self.warnings))

    def _repr_html_(self) -> str:
        return html_of_preview(self.document(), self.warnings)
