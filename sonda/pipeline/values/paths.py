"""Paths as clients write them, judged before the file system is asked for anything."""

from __future__ import annotations

import os
from typing import Final

LONGEST_PATH_BYTES: Final = 4096
LONGEST_NAME_BYTES: Final = 255


def check_path(text: str) -> str:
    """Return *text* if it can be the path of a file; raise `ValueError` with the reason.

    No system opens a longer path, and resolving one takes time that grows with its square. A `~`
    is not expanded: the home folder would be the server's, and a folder named `~` is a mistake.
    """
    if not text or "\0" in text:
        raise ValueError("expected a path: not empty and without NUL")
    if text.startswith("~"):
        raise ValueError("a leading ~ is not expanded here (write the path out, or ./~ for a file)")
    encoded = text.encode(errors="surrogatepass")
    if len(encoded) > LONGEST_PATH_BYTES:
        raise ValueError(f"a path has at most {LONGEST_PATH_BYTES} bytes")
    if any(len(name) > LONGEST_NAME_BYTES for name in encoded.split(b"/")):
        raise ValueError(f"a name in a path has at most {LONGEST_NAME_BYTES} bytes")
    return text


def encodable(path: str) -> str:
    """Return a path that the system's calls take: as it is, or as what stands for its UTF-8 bytes.

    A locale such as C or ISO-8859-1 cannot write every character; what it cannot is UTF-8.
    """
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        return os.fsdecode(path.encode(errors="surrogateescape"))
    return path
