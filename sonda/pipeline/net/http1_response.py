"""One HTTP/1.1 answer, put together from what a connection delivers.

llhttp, by way of httptools, reads the syntax; what an answer means for the event that waits for it
is decided here. Spec: https://www.rfc-editor.org/rfc/rfc9112
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

import httptools

ANSWER_BYTES: Final = 65536  # of a head, and of a body: one that goes on is complete all the same
_WITHOUT_BODY: Final = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)


class BadAnswer(ConnectionError):  # noqa: N818  # it is the answer that is bad
    """What came is no answer, or not all of one; the text says why."""


class Answer:
    """The answer to one request; `feed` it until it is `complete`.

    *may_go_on* tells whether the connection can carry the next request: the destination keeps it,
    and nothing has come that was not asked for.
    """

    def __init__(self) -> None:
        self.status = 0
        self.phrase = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = bytearray()
        self.complete = False
        self.may_go_on = False
        self._parser = httptools.HttpResponseParser(self)
        self._head_bytes = 0
        self._has_head = False
        self._over = False  # the message that is complete has ended on the wire, too

    def feed(self, received: bytes) -> None:
        """Take in what has come, nothing at the end of the stream; raises `BadAnswer`."""
        if received:
            self._parse(received)
        else:
            self._end()
        if self.complete:
            del self._parser  # each holds the other: a circle that only the collector could free

    def _parse(self, received: bytes) -> None:
        if not self._has_head:
            self._head_bytes += len(received)
        try:
            self._parser.feed_data(received)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as exc:
            self.may_go_on = False
            if self.status == HTTPStatus.SWITCHING_PROTOCOLS:
                raise BadAnswer("the protocol was switched instead of an answer") from None
            if not self.complete:
                raise BadAnswer(str(exc) or "it is no HTTP") from None
        if self._has_head and self.status < HTTPStatus.CONTINUE:
            raise BadAnswer(f"{self.status} is no HTTP status")
        if not self._has_head and self._head_bytes > ANSWER_BYTES:
            raise BadAnswer(f"the head of the answer is longer than {ANSWER_BYTES} bytes")

    def _end(self) -> None:
        if not self._has_head:
            raise BadAnswer("the connection was closed without an answer")
        framed = {b"content-length", b"transfer-encoding"}
        if framed.intersection(name.lower() for name, _ in self.headers):
            raise BadAnswer("the connection was closed in the middle of the answer")
        self.complete = True

    # what httptools calls

    def on_message_begin(self) -> None:
        """Another message: the final answer after an interim one, or what nobody asked for."""
        if self.complete:
            self.may_go_on = False

    def on_status(self, phrase: bytes) -> None:
        """The reason phrase, or a part of it."""
        if not self.complete:
            self.phrase += phrase

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header field, whole."""
        if not self._has_head:
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Tell an interim answer from a final one, which may have no body whatever it says."""
        if self.complete:
            return
        self.status = self._parser.get_status_code()
        self._has_head = True
        self.complete = self.status in _WITHOUT_BODY

    def on_body(self, part: bytes) -> None:
        """Keep as much of the body as anybody will look at."""
        self.body += part
        if len(self.body) >= ANSWER_BYTES:
            del self.body[ANSWER_BYTES:]
            self.complete = True

    def on_message_complete(self) -> None:
        """A final answer is complete; after an interim one the next message is awaited."""
        if self.status < HTTPStatus.OK:
            self.phrase, self._has_head, self._head_bytes = b"", False, 0
            self.headers.clear()
        elif not self._over:
            self.complete = self._over = True
            self.may_go_on = self._parser.should_keep_alive()
