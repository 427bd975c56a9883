"""TLS contexts: read from PEM files off the event loop, kept until the files change."""

from __future__ import annotations

import os
import ssl
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Final, TypeAlias

from returns.result import Failure, Result, Success

from sonda.pipeline.problems import Forbidden, Problem, Unreachable
from sonda.pipeline.quoting import quote
from sonda.pipeline.transport.sockets import words
from sonda.pipeline.transport.threads import in_thread

if TYPE_CHECKING:
    from sonda.pipeline.transport import Confinement

_KEPT_CONTEXTS: Final = 64
_FILES: Final = ("ca_cert", "client_cert", "client_key")

Fingerprint: TypeAlias = tuple[tuple[str, int, int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """Whom to trust and what to present; the files are PEM."""

    ca_cert: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    server_name: str | None = None

    def paths(self) -> dict[str, str]:
        """The files that are named, by field."""
        return {field: path for field in _FILES if (path := getattr(self, field)) is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaTls(Tls):
    """TLS as for every sink, and whether to speak it."""

    enabled: bool = True


class _NotAllowed(Exception):  # noqa: N818  # no error of the program: the operator's rule
    """A file that the server may not read."""

    def __init__(self, problem: Forbidden) -> None:
        self.problem = problem


class TlsContexts:
    """The contexts in use: equal files give the same context, and so share connections."""

    def __init__(self, confinement: Confinement | None) -> None:
        self._confinement = confinement
        self._kept: dict[Fingerprint, ssl.SSLContext] = {}
        self._keeping = Lock()  # events at once must find one context, not build one each

    async def load(self, tls: Tls | None) -> Result[ssl.SSLContext, Problem]:
        """Read the files; fails with `Forbidden` outside the roots, `Unreachable` if unreadable."""
        paths = tls.paths() if tls else {}
        if not paths and (kept := self._kept.get(())) is not None:
            return Success(kept)
        try:
            return Success(await in_thread(partial(self._load, paths)))
        except _NotAllowed as exc:
            return Failure(exc.problem)
        except OSError as exc:  # ssl.SSLError, too: no PEM, or a key that does not fit
            named = exc.filename if isinstance(exc.filename, str) else ", ".join(paths.values())
            no_pem = isinstance(exc, ssl.SSLError) and not exc.reason
            reason = "no certificate or no key in PEM format" if no_pem else words(exc)
            return Failure(Unreachable(f"read TLS file {quote(named)}", reason))

    def _load(self, paths: dict[str, str]) -> ssl.SSLContext:
        with ExitStack() as stack:
            opened = {
                field: stack.enter_context(_open_regular(path, self._confinement))
                for field, path in paths.items()
            }
            key = tuple(_identify(field, fd) for field, fd in opened.items())
            with self._keeping:
                context = self._kept.pop(key, None) or _context(opened)
                self._kept[key] = context  # the most recently used last
                if len(self._kept) > _KEPT_CONTEXTS:
                    del self._kept[next(iter(self._kept))]
        return context


def _context(opened: dict[str, int]) -> ssl.SSLContext:
    """Build a context from open files, so that what was checked is what is read."""
    ca_cert, client_cert, client_key = (
        f"/dev/fd/{opened[field]}" if field in opened else None for field in _FILES
    )
    context = ssl.create_default_context(cafile=ca_cert)
    if client_cert:
        context.load_cert_chain(client_cert, client_key, password=_no_passphrase)
    return context


def _no_passphrase() -> str:
    """Stand in for OpenSSL, which would ask on the terminal."""
    raise OSError("the private key has a passphrase")


@contextmanager
def _open_regular(path: str, confinement: Confinement | None) -> Iterator[int]:
    """Open a file to read, without waiting for the other end of a FIFO."""
    if confinement is not None:
        path = str(confinement.file_root / path)
        if not _below(Path(os.path.realpath(path)), confinement):
            what = f"TLS file {quote(path)} is outside the folders for TLS files"
            raise _NotAllowed(Forbidden(what, "sonda-server --tls-root DIR would allow its folder"))
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            if confinement is not None:
                what = f"TLS file {quote(path)} is no regular file"
                raise _NotAllowed(Forbidden(what, "no --tls-root of sonda-server allows any other"))
            raise OSError(0, "not a regular file", path)
        yield fd
    finally:
        os.close(fd)


def _below(real: Path, confinement: Confinement) -> bool:
    roots = (confinement.file_root, confinement.tls_root)
    return any(real.is_relative_to(os.path.realpath(root)) for root in roots)


def _identify(field: str, fd: int) -> tuple[str, int, int, int]:
    status = os.fstat(fd)
    return field, status.st_dev, status.st_ino, status.st_ctime_ns  # the mtime may be copied
