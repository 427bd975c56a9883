"""Reading a whole file, within the limits of a server. Every function here may block."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from returns.result import Failure

from sonda.pipeline.net import AccessPolicy
from sonda.pipeline.net.files import locate, permit
from sonda.pipeline.net.writes import is_regular
from sonda.pipeline.values.paths import encodable

_TO_READ: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_TO_PASS: Final = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC


def read_text(path: str, confinement: AccessPolicy | None, most: int) -> str:
    """Return the text of a regular file of at most *most* bytes, in UTF-8.

    With a *confinement* the file lies below its root. Raises `OSError` with what the operator's
    rules or the system say, `ValueError` for what is too long or no text.
    """
    allowed = permit(path, confinement)
    if isinstance(allowed, Failure):
        raise PermissionError(str(allowed.failure()))
    try:
        fd = _open(encodable(path), confinement)
    except OSError as exc:
        raise OSError(exc.strerror) from None
    with os.fdopen(fd, "rb") as opened:
        if not is_regular(fd):
            raise OSError("it is no regular file")
        raw = opened.read(most + 1)
    if len(raw) > most:
        raise ValueError(f"it is longer than {most:,} bytes")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise ValueError(f"it is not UTF-8 at byte {exc.start}") from None


def _open(path: str, confinement: AccessPolicy | None) -> int:
    """Open a file; below a root step by step, following no link that is put there meanwhile."""
    if confinement is None:
        return os.open(path, _TO_READ)
    root = os.path.realpath(confinement.file_root)
    *folders, name = Path(os.path.realpath(locate(path, confinement))).relative_to(root).parts
    with ExitStack() as closing:
        here = os.open(root, _TO_PASS)
        closing.callback(os.close, here)
        for folder in folders:
            here = os.open(folder, _TO_PASS | os.O_NOFOLLOW, dir_fd=here)
            closing.callback(os.close, here)
        return os.open(name, _TO_READ | os.O_NOFOLLOW, dir_fd=here)
