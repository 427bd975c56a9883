"""Files: the bytes at the offset where they were written."""

from __future__ import annotations

from sonda.pipeline.verify.judging import NOT_SEEN, SEEN, Different, Verdict


def judge(found: bytes, sent: bytes) -> Verdict:
    """Return what the bytes *found* at the event's offset prove of those that were *sent*.

    Nothing there means that the file was replaced or truncated meanwhile.
    """
    if found == sent:
        return SEEN
    if not found:
        return NOT_SEEN
    return Different(sent.decode(errors="replace"), found.decode(errors="replace"))
