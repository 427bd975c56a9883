"""One HTTP/1.x answer, put together from what a connection delivers.

It reads what RFC 9112 asks a user agent to read, and what curl reads, also where that breaks the
grammar: for the event that waits, a definite answer in an odd frame is worth more than none. The
connection of such an answer is not used again. A reader of our own, because llhttp (httptools) and
h11 refuse some of these frames whatever their leniency.
Spec: https://www.rfc-editor.org/rfc/rfc9112
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from http import HTTPStatus
from math import inf
from typing import Final

from msgspec import Struct, field

ANSWER_BYTES: Final = 65536  # of a head, and of a body: one that goes on is complete all the same
_WITHOUT_BODY: Final = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
_PREFIX: Final = b"HTTP/1."
_TLS_ALERT: Final = b"\x15\x03"
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.([01])([ \t]+)([0-9]{3})(?:[ \t]+(.*))?", re.DOTALL)
_END_OF_HEAD: Final = re.compile(rb"\n\r?\n")
_TOKEN: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_DANGEROUS: Final = bytes.maketrans(b"\x00\r", b"  ")  # RFC 9110, section 5.5
_LENGTH: Final = re.compile(rb"[0-9]+")
_CHUNK_SIZE: Final = re.compile(rb"[ \t]*0*([0-9A-Fa-f]{1,15})([ \t]*)(;.*)?", re.DOTALL)
_ENDLESS: Final = 1 << 60  # what stands for a greater length: nobody reads that far
_MOST_DIGITS: Final = 18  # of a length below it
_KEEP_ALIVE: Final = re.compile(rb"(?i)\btimeout[ \t]*=[ \t]*\"?([0-9]{1,9})")
LONGEST_SHARED: Final = 1024
"""How many bytes an answer may have that is kept, for others that get the same bytes."""


class BadAnswer(ConnectionError):  # noqa: N818  # it is the answer that is bad
    """The received bytes are no answer, or not all of one; the text is the reason."""


class Answer(Struct, eq=False):
    """The answer to one request; `feed` it until it is `complete`.

    At most *body_bytes* of the body are read; *whole* is false where there was more. *may_go_on* is
    true if the connection can carry the next request: the destination keeps it, its framing was
    flawless, and nothing has come that was not asked for.
    """

    body_bytes: int = ANSWER_BYTES
    status: int = 0
    phrase: bytes = b""
    headers: list[tuple[bytes, bytes]] = []
    body: bytearray = field(default_factory=bytearray)
    complete: bool = False
    whole: bool = False
    may_go_on: bool = False
    idle_s: float = inf
    """How long the connection may be kept; 0 if not at all.

    A server that says `Keep-Alive: timeout=5` closes it after 5 s: it is given up a second before.
    """
    _buffer: bytearray = field(default_factory=bytearray)
    _scanned: int = 0  # of the buffer, for the end of a line or of the head
    _remaining: int = 0  # of a body, or of a chunk
    _flawless: bool = True
    _persists: bool = False
    _step: Callable[[Answer], bool] | None = None  # none of the head has been read

    @property
    def has_begun(self) -> bool:
        """Return whether anything of the answer itself is there, interim answers aside."""
        return bool(self.status or self._buffer)

    def feed(self, received: bytes) -> None:
        """Parse received bytes, none at the end of the stream; raise `BadAnswer`."""
        if not received:
            self._end()
            return
        self._buffer += received
        while (self._step or Answer._read_head)(self):
            pass
        if not self.complete and len(self.body) >= self.body_bytes:
            self._finish(whole=False)

    def _end(self) -> None:
        if self._step is Answer._read_until_close:
            self._finish(whole=True)
        elif self._step is not Answer._drop_unasked:
            where = "in the middle of the answer" if self.status else "without an answer"
            raise BadAnswer(f"the connection was closed {where}")

    def _finish(self, *, whole: bool) -> bool:
        self.complete, self.whole = True, whole
        self.may_go_on = whole and self._flawless and self._persists
        self._step = Answer._drop_unasked
        return True

    # Steps: each consumes what it can of the buffer, and returns whether the next has work to do.

    def _drop_unasked(self) -> bool:
        if self._buffer:
            self.may_go_on = False
            self._buffer.clear()
        return False

    def _read_head(self) -> bool:
        start = bytes(self._buffer[: len(_PREFIX)])
        if start != _PREFIX:
            self._check_prefix(start)
        found = _END_OF_HEAD.search(self._buffer, max(0, self._scanned - 2))
        self._scanned = len(self._buffer)
        if (found.end() if found else self._scanned) > ANSWER_BYTES:
            raise BadAnswer(f"the head of the answer is longer than {ANSWER_BYTES} bytes")
        if found is None:
            return False
        head = bytes(self._buffer[: found.start()])
        del self._buffer[: found.end()]
        self._scanned = 0
        if found.end() - found.start() == len(b"\n\n"):
            self._flawless = False
        first, *lines = head.split(b"\n")
        is_1_1 = self._parse_status_line(first)
        self._parse_fields(lines)
        if self.status == HTTPStatus.SWITCHING_PROTOCOLS:
            raise BadAnswer("the protocol was switched instead of an answer")
        if self.status < HTTPStatus.OK:  # an interim answer; the final one follows
            self.status, self.phrase, self.headers = 0, b"", []
            return True
        self._frame_body(is_1_1=is_1_1)
        return True

    def _check_prefix(self, start: bytes) -> None:
        """Raise `BadAnswer` at the first bytes that are no HTTP/1.x: the rest may never come."""
        if start.startswith(_TLS_ALERT):
            raise BadAnswer("it answered in TLS: try https://")
        if not _PREFIX.startswith(start):
            raise BadAnswer("it is no answer of HTTP/1.0 or HTTP/1.1")

    def _without_cr(self, line: bytes) -> bytes:
        """Return *line* without its final CR; a missing one is a flaw."""
        if line.endswith(b"\r"):
            return line[:-1]
        self._flawless = False
        return line

    def _parse_status_line(self, line: bytes) -> bool:
        if not line.endswith(b"\r"):
            self._flawless = False
        match = _STATUS_LINE.fullmatch(line.removesuffix(b"\r"))
        if match is None:
            raise BadAnswer("it is no answer of HTTP/1.0 or HTTP/1.1")
        minor, blank, status, phrase = match.groups()
        self.status = int(status)
        self.phrase = (phrase or b"").translate(_DANGEROUS)
        if self.status < HTTPStatus.CONTINUE:
            raise BadAnswer(f"{self.status} is no HTTP status")
        if blank != b" ":
            self._flawless = False
        return bool(minor == b"1")

    def _parse_fields(self, lines: list[bytes]) -> None:
        """Parse header fields; the last line's end was removed with the end of the head."""
        last = len(lines) - 1
        for number, raw in enumerate(lines):
            line = raw.removesuffix(b"\r")
            if len(line) == len(raw) and number != last:
                self._flawless = False
            if line.startswith((b" ", b"\t")):  # obs-fold: RFC 9112, section 5.2
                self._flawless = False
                if self.headers:
                    name, value = self.headers[-1]
                    folded = line.translate(_DANGEROUS).strip(b" \t")
                    self.headers[-1] = (name, b" ".join(filter(None, (value, folded))))
                continue
            name, colon, value = line.partition(b":")
            if not colon:
                raise BadAnswer("a line of its head is no header field")
            if not _TOKEN.fullmatch(name):
                self._flawless = False
                name = name.rstrip(b" \t")
                if not _TOKEN.fullmatch(name):
                    continue
            if _CONTROL.search(value):
                self._flawless = False
                value = value.translate(_DANGEROUS)
            self.headers.append((name, value.strip(b" \t")))

    def _frame_body(self, *, is_1_1: bool) -> None:
        """Choose the step that reads the body; spec: RFC 9112, section 6.3."""
        connection: list[bytes] = []
        codings: list[bytes] = []
        lengths: list[bytes] = []
        keep_alive: list[bytes] = []
        framing = {
            b"connection": connection,
            b"transfer-encoding": codings,
            b"content-length": lengths,
            b"keep-alive": keep_alive,
        }
        for name, value in self.headers:
            members = framing.get(name.lower())
            if members is not None:
                members += [member.strip(b" \t").lower() for member in value.split(b",")]
        self._persists = b"close" not in connection and (is_1_1 or b"keep-alive" in connection)
        self.idle_s = _idle_s(b",".join(keep_alive)) if keep_alive else inf
        codings = list(filter(None, codings))
        if self.status in _WITHOUT_BODY:
            self._finish(whole=True)
        elif any(coding != b"identity" for coding in codings):
            if {*codings} - {b"chunked", b"identity"}:  # curl refuses what it has not asked for
                raise BadAnswer("its transfer coding is none that was asked for")
            if lengths or not is_1_1 or codings != [b"chunked"]:
                self._flawless = False  # the coding counts, but somebody may see it otherwise
            self._step = Answer._read_chunk_size
        elif lengths:
            if len(lengths) > 1 or codings:
                self._flawless = False
            if len(set(lengths)) > 1 or not _LENGTH.fullmatch(lengths[0]):
                raise BadAnswer("the length of its body cannot be told")
            digits = lengths[0].lstrip(b"0") or b"0"
            self._remaining = int(digits) if len(digits) <= _MOST_DIGITS else _ENDLESS
            self._step = Answer._read_sized
        else:
            self._persists = False
            self._step = Answer._read_until_close

    def _read_sized(self) -> bool:
        if not self._take():
            return False
        return self._finish(whole=True)

    def _read_until_close(self) -> bool:
        self._remaining = len(self._buffer)
        self._take()
        return False

    def _take(self) -> bool:
        """Move received bytes to the body; return whether its part is complete and below the limit."""
        part = self._buffer[: self._remaining]
        del self._buffer[: self._remaining]
        self._remaining -= len(part)
        room = self.body_bytes - len(self.body)
        self.body += part[:room]
        if len(part) > room:
            self._finish(whole=False)
            return False
        return not self._remaining

    def _line(self) -> bytes | None:
        """Remove and return a line of the buffer, without its end; `None` if it is not complete."""
        end = self._buffer.find(b"\n", self._scanned)
        if (end if end >= 0 else len(self._buffer)) > ANSWER_BYTES:
            raise BadAnswer(f"a line of its body is longer than {ANSWER_BYTES} bytes")
        if end < 0:
            self._scanned = len(self._buffer)
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        self._scanned = 0
        return self._without_cr(line)

    def _read_chunk_size(self) -> bool:
        if (line := self._line()) is None:
            return False
        match = _CHUNK_SIZE.fullmatch(line)
        if match is None:
            raise BadAnswer("a chunk of its body has no size")
        if match[2] or line[:1] in b" \t":
            self._flawless = False
        self._remaining = int(match[1], 16)
        self._step = Answer._read_chunk if self._remaining else Answer._read_trailer
        return True

    def _read_chunk(self) -> bool:
        if not self._take():
            return False
        self._step = Answer._read_end_of_chunk
        return True

    def _read_end_of_chunk(self) -> bool:
        if (line := self._line()) is None:
            return False
        if line:
            raise BadAnswer("a chunk of its body does not end where it should")
        self._step = Answer._read_chunk_size
        return True

    def _read_trailer(self) -> bool:
        """Skip trailer fields; all of them together may be as long as a head."""
        if (line := self._line()) is None:
            return False
        if not line:
            return self._finish(whole=True)
        self._remaining += len(line)
        if self._remaining > ANSWER_BYTES:
            raise BadAnswer(f"its trailer is longer than {ANSWER_BYTES} bytes")
        return True


def _idle_s(keep_alive: bytes) -> float:
    found = _KEEP_ALIVE.search(keep_alive)
    return inf if found is None else max(0.0, int(found[1]) - 1.0)


@lru_cache(256)
def shared_answer(received: bytes) -> Answer | None:
    """Return the flawless answer that these bytes are, and nothing else; `None` is no verdict.

    A destination says yes in the same words again and again. Whoever gets the answer only reads it.
    """
    answer = Answer()
    try:
        answer.feed(received)
    except BadAnswer:
        return None
    return answer if answer.complete and answer.may_go_on else None
