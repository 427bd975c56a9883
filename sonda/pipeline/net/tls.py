"""TLS contexts: read from PEM files off the event loop, kept until the files change."""

from __future__ import annotations

import asyncio
import os
import ssl
import stat
from collections.abc import Hashable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Final, TypeAlias

from msgspec import Struct
from returns.result import Failure, Result, Success

from sonda.pipeline.net.sockets import words
from sonda.pipeline.net.threads import begin_in_thread
from sonda.pipeline.net.unix import NO_FOLLOW, TO_PASS, TO_READ
from sonda.pipeline.problems import Forbidden, Problem, Unreachable
from sonda.pipeline.text.escape import quote
from sonda.pipeline.values.paths import encodable

if TYPE_CHECKING:
    from sonda.pipeline.net import AccessPolicy

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


class Pem(Struct, frozen=True):
    """What is in the files, for a library that speaks TLS itself."""

    ca_cert: bytes | None = None
    client_cert: bytes | None = None
    client_key: bytes | None = None

    def __repr__(self) -> str:
        return "Pem()"  # a key is for nobody to see


@dataclass(frozen=True, slots=True)
class Loaded:
    """The files of one `tls`, as a context and as they are; compared by identity of the context."""

    context: ssl.SSLContext
    pem: Pem = field(compare=False)


class _NotAllowed(Exception):  # noqa: N818  # no error of the program: the operator's rule
    """A file that the server may not read."""

    def __init__(self, problem: Forbidden) -> None:
        self.problem = problem


class TlsContexts:
    """The contexts in use: equal files give the same context, and so share connections."""

    def __init__(self, access_policy: AccessPolicy | None) -> None:
        self._access_policy = access_policy
        self._kept: dict[Fingerprint, Loaded] = {}
        self._keeping = Lock()  # events at once must find one context, not build one each
        self._looks: dict[Hashable, asyncio.Future[Loaded]] = {}

    async def load(self, tls: Tls | None) -> Result[ssl.SSLContext, Problem]:
        """Read the files; fails with `Forbidden` outside the roots, `Unreachable` if unreadable."""
        return (await self.read(tls)).map(lambda loaded: loaded.context)

    def permit(self, tls: Tls | None) -> Result[None, Problem]:
        """Let files pass that may be read, as far as that can be told without opening them.

        Fails with `Forbidden`. May block, as the file system may.
        """
        access_policy = self._access_policy
        if tls is None or access_policy is None:
            return Success(None)
        try:
            for given in tls.paths().values():
                path = str(access_policy.file_root / encodable(given))
                _steps(path, access_policy)
                with suppress(OSError):  # it cannot be read, which no operator could allow
                    _refuse_special(path, Path(path).stat())
        except _NotAllowed as exc:
            return Failure(exc.problem)
        return Success(None)

    async def read(self, tls: Tls | None) -> Result[Loaded, Problem]:
        """Do as `load` does, and return what is in the files, too."""
        paths = tls.paths() if tls else {}
        if not paths and (kept := self._kept.get(())) is not None:
            return Success(kept)
        try:
            return Success(await asyncio.shield(self._look(paths)))
        except _NotAllowed as exc:
            return Failure(exc.problem)
        except OSError as exc:  # ssl.SSLError, too: no PEM, or a key that does not fit
            named = exc.filename if isinstance(exc.filename, str) else ", ".join(paths.values())
            no_pem = isinstance(exc, ssl.SSLError) and not exc.reason
            reason = "no certificate or no key in PEM format" if no_pem else words(exc)
            what = f"TLS file {quote(named)}" if named else "the system's certificate authorities"
            return Failure(Unreachable(f"read {what}", reason))

    def _look(self, paths: dict[str, str]) -> asyncio.Future[Loaded]:
        """Look at the files once for all events that come until that is done: it takes a thread."""
        key = tuple(paths.items())
        if key not in self._looks:
            self._looks[key] = begin_in_thread(partial(self._load, paths))
            self._looks[key].add_done_callback(partial(self._seen, key))
        return self._looks[key]

    def _seen(self, key: Hashable, look: asyncio.Future[Loaded]) -> None:
        del self._looks[key]
        if not look.cancelled():
            look.exception()  # all who waited may have given up

    def _load(self, paths: dict[str, str]) -> Loaded:
        with ExitStack() as stack:
            opened = {
                field: stack.enter_context(_open_regular(path, self._access_policy))
                for field, path in paths.items()
            }
            key = tuple(_identify(field, fd) for field, fd in opened.items())
            with self._keeping:
                loaded = self._kept.pop(key, None) or Loaded(_context(opened), _pem(opened))
                self._kept[key] = loaded  # the most recently used last
                if len(self._kept) > _KEPT_CONTEXTS:
                    del self._kept[next(iter(self._kept))]
        return loaded


def _pem(opened: dict[str, int]) -> Pem:
    """Read open files whole; a client's key that has no file of its own is beside its certificate."""
    ca_cert, client_cert, client_key = (
        Path(f"/dev/fd/{opened[field]}").read_bytes() if field in opened else None
        for field in _FILES
    )
    return Pem(ca_cert, client_cert, client_key or client_cert)


def system_authorities() -> bytes | None:
    """Read the certificates of those whom the system trusts, if it has them in one file."""
    paths = ssl.get_default_verify_paths()
    bundles = [paths.cafile, f"{paths.capath}/ca-certificates.crt" if paths.capath else None]
    found = next((path for path in map(Path, filter(None, bundles)) if path.is_file()), None)
    return found.read_bytes() if found else None


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
def _open_regular(path: str, access_policy: AccessPolicy | None) -> Iterator[int]:
    """Open a file to read, without waiting for the other end of a FIFO."""
    path = encodable(path)
    if access_policy is None:
        fd = os.open(path, TO_READ)
    else:
        path = str(access_policy.file_root / path)
        fd = _open_below(path, access_policy)
    try:
        if access_policy is not None:
            _refuse_special(path, os.fstat(fd))
        elif not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(0, "not a regular file", path)
        yield fd
    finally:
        os.close(fd)


def _open_below(path: str, access_policy: AccessPolicy) -> int:
    """Open a file step by step, following no symbolic link that is put there meanwhile."""
    root, *folders, name = _steps(path, access_policy)
    with ExitStack() as closing:
        try:
            here = os.open(root, TO_PASS)
            closing.callback(os.close, here)
            for folder in folders:
                here = os.open(folder, TO_PASS | NO_FOLLOW, dir_fd=here)
                closing.callback(os.close, here)
            _refuse_special(path, os.stat(name, dir_fd=here, follow_symlinks=False))
            return os.open(name, TO_READ | NO_FOLLOW, dir_fd=here)
        except OSError as exc:
            _steps(path, access_policy)  # it may lead elsewhere by now
            raise OSError(exc.errno, os.strerror(exc.errno or 0), path) from None


def _refuse_special(path: str, status: os.stat_result) -> None:
    """Raise `_NotAllowed` for a device, before it is opened: with some that is an action."""
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode)):
        what = f"TLS file {quote(path)} is no regular file"
        raise _NotAllowed(Forbidden(what, "no --tls-root of sonda-server allows any other"))


def _steps(path: str, access_policy: AccessPolicy) -> tuple[str, ...]:
    """Return the root, the folders and the name that lead to a file; raise `_NotAllowed`."""
    real = Path(os.path.realpath(path))
    if access_policy.protects(real):
        what = f"TLS file {quote(path)} is the server's own"
        raise _NotAllowed(Forbidden(what, "no --tls-root of sonda-server allows it"))
    for root in map(os.path.realpath, (access_policy.file_root, access_policy.tls_root)):
        if real.is_relative_to(root):
            return root, *(real.relative_to(root).parts or (".",))
    what = f"TLS file {quote(path)} is outside the folders for TLS files"
    raise _NotAllowed(Forbidden(what, "sonda-server --tls-root DIR would allow its folder"))


def _identify(field: str, fd: int) -> tuple[str, int, int, int]:
    status = os.fstat(fd)
    return field, status.st_dev, status.st_ino, status.st_ctime_ns  # the mtime may be copied
