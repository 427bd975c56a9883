"""uvicorn's HTTP/1.1 protocol with the manners that strangers need.

Every method overrides, or serves one that does: its docstring says what uvicorn would do. The
class leans on the inner workings of uvicorn 0.54, so `pyproject.toml` caps the version, and
`tests/server/test_server.py` has a test per difference.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from enum import Enum, auto
from typing import Final

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from sonda.observe.metrics import Metrics
from sonda.resources.request import BODY_IS_WHOLE
from sonda.server.lingering import LingeringTransport
from sonda.server.request_head import (
    BETWEEN_BYTES,
    CONTENT_LENGTH,
    HEAD_LIMIT_BYTES,
    HEADER,
    KEPT_HEAD_BYTES,
    STAND_IN_METHOD,
    Header,
    Refusal,
    TakenHead,
    answer_to,
    head_too_large,
    take_head,
    with_known_method,
)
from sonda.server.request_middleware import Cycle, request_id

PIPELINE_LIMIT: Final = 256
LINGER_BYTES: Final = 32 * 1024 * 1024  # so that most clients get to the end of what they send


class _Phase(Enum):
    """What the parser is in the middle of."""

    IDLE = auto()
    HEAD = auto()
    BODY = auto()


class EventProtocol(HttpToolsProtocol):
    """One connection. *head_timeout_s* bounds the wait for a head and for a client that must read.

    uvicorn's `timeout_keep_alive` bounds how long a connection may be idle after an answer.
    """

    metrics: Metrics | None = None
    head_timeout_s: float = 30.0
    cycle: Cycle  # that of the newest request
    url = b""  # uvicorn has none before the first one
    _connection: LingeringTransport
    _phase = _Phase.IDLE
    _method = b""  # the request's own, where another stands in for it
    _head: TakenHead | None = None  # the last one that was taken
    _trailer_bytes = 0
    _growing_bytes = 0  # of whole reads within one head: the parser only tells what is complete
    _deaf = False  # what still arrives is thrown away
    _ended = False  # nothing will arrive
    _discarded_bytes = 0
    _refusal: Refusal | None = None  # waits for the answers before it
    _head_timer: asyncio.TimerHandle | None = None
    _write_timer: asyncio.TimerHandle | None = None

    # The connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Start the clock; uvicorn would keep a silent connection for ever."""
        self._connection = LingeringTransport(transport, self.loop, self._expects_input)
        super().connection_made(self._connection)
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clocks; nothing refers back to the protocol, so that it goes at once."""
        super().connection_lost(exc)
        self._unwatch_head()
        self.resume_writing()
        self._connection.lost()
        self.cycle = None  # type: ignore[assignment]  # as before the first request

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio's says so
        """Answer what was asked in full, for the client may still read; uvicorn would hang up.

        A request that ends half-way is answered, too, but not obeyed.
        """
        self._ended = True
        if self.transport.is_closing():
            return False
        if self._phase is not _Phase.IDLE:
            self._give_up(Refusal(400, "the request ended before it was complete"))
            return True
        if not self._answer_is_due():
            return False
        self.cycle.keep_alive = False
        return True

    def shutdown(self) -> None:
        """Close at once what has nothing to answer; `close` alone would linger."""
        super().shutdown()
        if self.transport.is_closing():
            self.transport.close()

    def pause_writing(self) -> None:
        """Bound how long a client may leave its answers unread; uvicorn would wait for ever."""
        super().pause_writing()
        self._write_timer = self.loop.call_later(self.head_timeout_s, self._answer_is_stuck)

    def resume_writing(self) -> None:
        """Stop that clock."""
        super().resume_writing()
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _answer_is_stuck(self) -> None:
        self._log("the answer was not read")
        self.transport.abort()

    def _log(self, text: str, own_id: str = "") -> None:
        host, port = self.client or ("", 0)
        self.access_logger.info("%s:%d - %s", host, port, text, extra={"request_id": own_id})

    def _expects_input(self) -> bool:
        return not self._ended and (self._deaf or self._phase is not _Phase.IDLE)

    # What arrives

    def data_received(self, data: bytes) -> None:
        """Parse within limits; uvicorn has none, and answers 400 in plain text."""
        self._unset_keepalive_if_required()
        if self._deaf or self._connection.is_lingering:
            self._discard(data)
            return
        in_head = self._phase is _Phase.HEAD
        self._parse(data)
        if in_head and self._phase is _Phase.HEAD:
            self._growing_bytes += len(data)
            if self._growing_bytes > HEAD_LIMIT_BYTES:
                self._give_up(head_too_large())
        if not self._answer_is_due():
            self._watch_head()

    def _parse(self, data: bytes) -> None:
        was_idle, earlier = self._phase is _Phase.IDLE, self.cycle
        reworded = None
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            reworded = self._without_offer(data[offer.args[0] :])
        except httptools.HttpParserInvalidMethodError as exc:
            is_first = was_idle and self.cycle is earlier
            reworded = with_known_method(data) if is_first else None
            if reworded is None:
                self._give_up(Refusal(400, f"not a valid HTTP request: {exc}"))
        except httptools.HttpParserCallbackError as exc:
            if not isinstance(exc.__context__, Refusal):
                raise
            self._give_up(exc.__context__)
        except httptools.HttpParserError as exc:
            self._give_up(Refusal(400, f"not a valid HTTP request: {exc}"))
        if reworded is not None:
            self._parse_again(*reworded)

    def _without_offer(self, rest: bytes) -> tuple[bytes, bytes]:
        """Reword a request that offers another protocol; return its method and the new words.

        httptools takes what follows such a head for that protocol. Java's HttpClient offers h2c
        with its requests, and their bodies would be lost.
        """
        method = self.parser.get_method()
        head = [
            STAND_IN_METHOD if method == b"CONNECT" else method,
            b" %b HTTP/%b\r\n" % (self.url, self.parser.get_http_version().encode()),
            *(b"%b: %b\r\n" % header for header in self.headers if header[0] != b"upgrade"),
            b"\r\n",
        ]
        return method, b"".join([*head, rest])

    def _parse_again(self, method: bytes, data: bytes) -> None:
        """Parse a request that was reworded, and what follows it, with a fresh parser."""
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        self._phase = _Phase.IDLE
        self._method = method
        self._parse(data)

    def _discard(self, data: bytes) -> None:
        self._discarded_bytes += len(data)
        if self._discarded_bytes > LINGER_BYTES:
            self.transport.abort()

    # What the parser tells

    def on_message_begin(self) -> None:
        """Refuse to queue requests without end."""
        self._phase = _Phase.HEAD
        self._trailer_bytes = self._growing_bytes = 0
        if len(self.pipeline) >= PIPELINE_LIMIT:
            raise Refusal(400, f"over {PIPELINE_LIMIT} requests wait on this connection")
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; leave out trailers, which uvicorn takes for headers, and count their bytes."""
        if self._phase is _Phase.HEAD:
            self.headers.append((name.lower(), value))
            return
        self._trailer_bytes += len(name) + len(value) + BETWEEN_BYTES
        if self._trailer_bytes > HEAD_LIMIT_BYTES:
            raise head_too_large()

    def on_headers_complete(self) -> None:
        """Start the request, unless it will be read again without its offer of an upgrade.

        This stands for uvicorn's method, for which any target will do, and whose requests have
        another cycle.
        """
        if self.parser.should_upgrade():
            return
        method, version = self._method or self.parser.get_method(), self.parser.get_http_version()
        head = self._head
        if head is None or not repeats(head, self.url, method, version, self.headers):
            keeps_alive = self.parser.should_keep_alive()
            head = take_head(self.url, method, version, self.headers, keeps_alive=keeps_alive)
            self._head = head if head.size_bytes <= KEPT_HEAD_BYTES else None
        self._method = b""
        self.scope.update(head.scope)  # type: ignore[typeddict-item]  # it has our own, too
        self.expect_100_continue = head.expects_100
        self._phase = _Phase.BODY
        if self._head_timer is not None:
            self._unwatch_head()
        waiting = self._answer_is_due()
        self.cycle = Cycle(
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=head.keeps_alive,
            on_response=self.on_response_complete,
        )
        if waiting:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))
        else:
            self._start_asgi_task(self.cycle, self.app)

    def on_message_complete(self) -> None:
        """Note the end of the body, unless httptools only believes that there is none."""
        if self.parser.should_upgrade():
            return
        self._phase = _Phase.IDLE
        self.scope[BODY_IS_WHOLE] = True  # type: ignore[typeddict-unknown-key]  # it is our own
        cycle = self.cycle
        if not cycle.response_complete:
            cycle.more_body = False
            cycle.message_event.set()

    def _watch_head(self) -> None:
        if self._head_timer is None and not self._deaf:
            self._head_timer = self.loop.call_later(self.head_timeout_s, self._head_is_overdue)

    def _unwatch_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_overdue(self) -> None:
        if self._phase is _Phase.HEAD:
            detail = f"the request's headers did not arrive within {self.head_timeout_s:g}s"
            self._give_up(Refusal(408, detail))
        else:
            self.transport.close()

    # Answers

    def on_response_complete(self) -> None:
        """Answer, now that its turn has come, a head that could not be served."""
        super().on_response_complete()
        if self._refusal is not None:
            self._give_up(self._refusal)
        elif self._phase is _Phase.HEAD and not self._answer_is_due():
            self._unset_keepalive_if_required()  # the connection is not idle
            self._watch_head()

    def _answer_is_due(self) -> bool:
        cycle: Cycle | None = self.cycle
        return cycle is not None and not cycle.response_complete

    def _give_up(self, refusal: Refusal) -> None:
        """Listen no more. A broken body is the app's to refuse; a broken head, in its turn, ours."""
        self._deaf = True
        self._unwatch_head()
        if self._phase is _Phase.BODY:
            self.cycle.body_is_broken = True
            self.cycle.message_event.set()
        elif self._answer_is_due():
            self._refusal = refusal
        else:
            self._refuse(refusal)

    def _refuse(self, refusal: Refusal) -> None:
        """Answer in the place of the app, and hang up."""
        if self.transport.is_closing():
            return
        answer = answer_to(refusal, self.url, self.headers or ())
        own_id = request_id()  # the caller's may not have arrived
        headers = [
            *self.server_state.default_headers,
            (HEADER, own_id.encode("ascii")),
            (b"content-type", answer.media_type.encode("ascii")),
            (b"content-length", b"%d" % len(answer.body)),
            (b"connection", b"close"),
        ]
        head = b"".join(b"%b: %b\r\n" % header for header in headers)
        self.transport.write(b"%b%b\r\n%b" % (STATUS_LINE[refusal.status], head, answer.body))
        self.transport.close()
        self._log(f"{refusal.status} {refusal}", own_id)
        if self.metrics is not None:
            self.metrics.answered(refusal.status)


def repeats(
    head: TakenHead, url: bytes, method: bytes, version: str, headers: Sequence[Header]
) -> bool:
    """Return whether a head is equal to the last one, but for a `Content-Length` of as many digits."""
    theirs, at = head.headers, head.length_at
    if at >= 0 and len(headers) == len(theirs):
        name, value = headers[at]
        if name == CONTENT_LENGTH and len(value) == len(theirs[at][1]):
            theirs[at] = headers[at]
    is_same_line = url == head.url and method == head.method and version == head.version
    return is_same_line and headers == theirs


def configured(metrics: Metrics, head_timeout_s: float) -> type[EventProtocol]:
    """Return the protocol class of one server, which counts in *metrics* what it answers."""
    attributes = {"metrics": metrics, "head_timeout_s": head_timeout_s}
    return type("ConfiguredProtocol", (EventProtocol,), attributes)
