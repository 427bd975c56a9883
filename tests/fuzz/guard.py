"""What a program that is fuzzed may touch; anything else is an error at once, whoever asks for it."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sonda.pipeline.values.addresses import literal

_TO_WRITE: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES: Final = ("os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.truncate", "os.link", "os.symlink",
                   "os.chmod", "os.chown", "os.utime", "os.system", "subprocess.Popen", "os.exec")  # fmt: skip


CAUGHT: Final = "caught by the guard"


class Forbidden(BaseException):
    """Not an `Exception`: nobody catches it by the way."""


@dataclass
class Guard:
    """Refuses, and notes, every way to the world but the ports of 127.0.0.1 and the folders given.

    In *scratch*, a server's folder for temporary files, things may also be removed.
    """

    ports: Collection[int] = ()
    folder: Path | None = None
    scratch: Path | None = None
    binds: bool = False
    caught: list[str] = field(default_factory=list)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Judge what the interpreter is about to do; called for each of its audit events."""
        if not self._allows(event, arguments):
            self.caught.append(f"{event} {arguments!r}")
            print(f"{CAUGHT}: {self.caught[-1]}", file=sys.stderr)  # noqa: T201  # a server has no more
            raise Forbidden(self.caught[-1])

    def _allows(self, event: str, arguments: tuple[Any, ...]) -> bool:
        match event:
            case "socket.connect" | "socket.sendto":
                return self._is_own(arguments[1])
            case "socket.getaddrinfo":
                return _is_numeric(arguments[0])
            case "socket.bind":
                return self.binds and arguments[1][0] == "127.0.0.1"
            case "socket.gethostbyname" | "socket.gethostbyaddr":
                return False
            case "open":
                path, _, flags = arguments
                return not flags & _TO_WRITE or self._is_inside(path)
            case _ if event in _CHANGES:
                if event in ("os.mkdir", "os.truncate") and self._is_inside(arguments[0]):
                    return True
                return event in ("os.remove", "os.rmdir") and self._is_scratch(*arguments)
            case _:
                return True

    def _is_own(self, address: Any) -> bool:
        match address:
            case (host, port, *_):
                return host == "127.0.0.1" and port in self.ports
            case _:
                return False

    def _is_inside(self, path: object) -> bool:
        """Tell whether a path is in the folder: one that is relative starts there."""
        if self.folder is None or isinstance(path, int):
            return isinstance(path, int)  # a descriptor has been judged when it was opened
        whole = self.folder / os.fsdecode(path)  # type: ignore[arg-type]  # what `open` takes
        return _is_below(whole, self.folder) or _is_below(whole, self.scratch)

    def _is_scratch(self, path: object, folder_fd: int) -> bool:
        """Tell whether something of the server's own temporary files is removed."""
        if folder_fd >= 0:
            return self.scratch is not None  # below a folder that it has opened: only its own are
        return isinstance(path, str | Path) and _is_below(Path(path), self.scratch)


def _is_below(path: Path, folder: Path | None) -> bool:
    return folder is not None and Path(os.path.normpath(path)).is_relative_to(folder)


def _is_numeric(host: object) -> bool:
    """Tell whether a look-up asks nobody."""
    return isinstance(host, str) and literal(host) is not None


_on_duty: list[Guard] = []


def _ask_guards(event: str, arguments: tuple[Any, ...]) -> None:
    for guard in _on_duty:
        guard(event, arguments)


@contextmanager
def guarded(guard: Guard) -> Iterator[Guard]:
    """Put a guard on duty; fails at the end if it has caught anything."""
    _post()
    _on_duty.append(guard)
    try:
        yield guard
    finally:
        _on_duty.remove(guard)
    assert guard.caught == []


def on_duty_from_now(guard: Guard) -> None:
    """Put a guard on duty to the end of the process."""
    _post()
    _on_duty.append(guard)


def _post() -> None:
    if not _posted:
        _posted.append(True)
        sys.addaudithook(_ask_guards)  # there is no way to take it off again


_posted: list[bool] = []
