"""Who sends an event, as far as the operator's configuration tells callers apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from sonda.pipeline.model import NamedDestination
from sonda.pipeline.problems import Forbidden


class Caller(Struct, frozen=True):
    """One key of the server's, by its *name*; with *allowed* it may use these destinations alone."""

    name: str = ""
    allowed: frozenset[str] | None = None

    def may_use(self, destination: str) -> bool:
        """Return whether this caller may send to a named destination."""
        return self.allowed is None or destination in self.allowed

    def find(self, directory: Directory, name: str) -> NamedDestination | None:
        """Return the operator's destination *name*, if this caller may use it."""
        return directory().get(name) if self.may_use(name) else None

    def judge_inline(self) -> Forbidden | None:
        """Return why this caller may not write an encoder and a sink of its own, if it may not."""
        if self.allowed is None:
            return None
        return Forbidden(
            "this key may use named destinations alone, and no encoder and sink of its own",
            "`destinations` of its table in the server's --config says which",
        )


ANYBODY: Final = Caller()
"""Whoever calls where no key is asked for, and the user of the library."""


class ApiKey(Struct, frozen=True):
    """A key, and who the caller is that sends it."""

    value: str
    caller: Caller

    def __repr__(self) -> str:
        return f"ApiKey({self.caller.name!r})"


Keys = Callable[[], Sequence[ApiKey]]
"""Returns the keys that are valid now; without any, anybody may call."""


def caller_of(keys: Sequence[ApiKey], given: bytes) -> Caller | None:
    """Return whose key was *given*; every key is compared, each in constant time."""
    from hmac import compare_digest  # OpenSSL, which no library or command line needs for this

    found = None
    for key in keys:
        if compare_digest(given, key.value.encode()):
            found = key.caller
    return found


Directory = Callable[[], Mapping[str, NamedDestination]]
"""Returns the destinations of the configuration that is in force."""


def nothing_configured() -> Mapping[str, NamedDestination]:
    """Return no destinations."""
    return {}
