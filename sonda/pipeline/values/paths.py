"""Paths as clients write them, judged before the file system is asked for anything."""

from __future__ import annotations

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
