"""Reading a file within the limits of a server. Every function here may block."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import TextIO

from returns.result import Failure

from sonda.pipeline.net import AccessPolicy
from sonda.pipeline.net.files import locate, permit
from sonda.pipeline.net.unix import NO_FOLLOW, TO_PASS, TO_READ
from sonda.pipeline.net.writes import is_regular
from sonda.pipeline.values.paths import encodable


def open_text(path: str, access_policy: AccessPolicy | None, most: int) -> TextIO:
    """Open a regular file of at most *most* bytes of UTF-8; its line ends stay as they are.

    With an *access_policy* the file lies below its root. Raises `OSError` with what the operator's
    rules or the system say, `ValueError` for what is too long.
    """
    allowed = permit(path, access_policy)
    if isinstance(allowed, Failure):
        raise PermissionError(str(allowed.failure()))
    try:
        fd = _open(encodable(path), access_policy)
    except OSError as exc:
        raise OSError(exc.strerror) from None
    if not is_regular(fd):
        os.close(fd)
        raise OSError("it is no regular file")
    if os.fstat(fd).st_size > most:
        os.close(fd)
        raise ValueError(f"it is longer than {most:,} bytes")
    return os.fdopen(fd, encoding="utf-8-sig", newline="")


def _open(path: str, access_policy: AccessPolicy | None) -> int:
    """Open a file; below a root step by step, following no link that is put there meanwhile."""
    if access_policy is None:
        return os.open(path, TO_READ)
    root = os.path.realpath(access_policy.file_root)
    *folders, name = Path(os.path.realpath(locate(path, access_policy))).relative_to(root).parts
    with ExitStack() as closing:
        here = os.open(root, TO_PASS)
        closing.callback(os.close, here)
        for folder in folders:
            here = os.open(folder, TO_PASS | NO_FOLLOW, dir_fd=here)
            closing.callback(os.close, here)
        return os.open(name, TO_READ | NO_FOLLOW, dir_fd=here)
