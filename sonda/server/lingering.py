"""How a connection is closed after an answer that its client may still be about to read.

The class stands before uvicorn 0.54: its docstring says what uvicorn would do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

LINGER_S: Final = 5.0


class LingeringTransport(asyncio.Transport):
    """A connection whose `close()` lets the client read its answer first.

    The operating system resets a connection that is closed with input unread, and a reset throws
    away the answer that is still on its way. So while *expects_input*, closing only ends our side;
    the client's end, a time-out or a second `close()` does the rest.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        loop: asyncio.AbstractEventLoop,
        expects_input: Callable[[], bool],
    ) -> None:
        super().__init__()
        self._transport = transport
        self._loop = loop
        self._expects_input = expects_input
        self._deadline: asyncio.TimerHandle | None = None
        self.is_lingering = False
        # Until it lingers these are the connection's own: no hop between for each answer.
        self.is_closing = transport.is_closing  # type: ignore[method-assign]
        self.write = transport.write  # type: ignore[method-assign]

    def close(self) -> None:
        if self._deadline is not None:
            self._transport.close()
            return
        self.is_lingering = True
        self.is_closing = _true  # type: ignore[method-assign]
        self.write = _discard  # type: ignore[assignment]
        self._deadline = self._loop.call_later(LINGER_S, self._transport.abort)
        if self._expects_input() and not self._transport.is_closing():
            self._transport.write_eof()
            self._transport.resume_reading()
        else:
            self._transport.close()

    def lost(self) -> None:
        """Note that the connection is gone; the protocol, which refers to this, is let go."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._expects_input = bool

    def abort(self) -> None:
        self._transport.abort()

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)


def _true() -> bool:
    return True


def _discard(_data: object) -> None: ...
