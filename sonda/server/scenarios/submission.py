"""What a worker hands to the runner: a document with who sends it, and whose runs a caller may see."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from sonda.pipeline.policy.callers import Caller
from sonda.server.config import Source

FORGOTTEN: Final = "forgotten"
"""A worker's own parameter: a run that was removed a moment ago is shown, too."""
_OWNER_HEADER: Final = "Sonda-Owner"


@dataclass(frozen=True, slots=True)
class Submission:
    """A document as it was posted, its caller, and the configuration that is in force.

    It travels pickled, over the private socket between processes of one server.
    """

    raw: bytes = field(repr=False)
    media_type: str
    caller: Caller
    source: Source = field(repr=False)
    run_id: str = ""
    """What the run that a document starts is to be called, so that it is found if the answer is lost."""


def viewer_headers(caller: Caller) -> dict[str, str]:
    """Return the headers that tell the runner which runs *caller* may see."""
    return {} if caller.allowed is None else {_OWNER_HEADER: json.dumps(caller.name)}


def viewer_of(headers: Mapping[str, str]) -> str | None:
    """Return whose runs alone may be seen; `None` for all. Inverse of `viewer_headers`."""
    found = headers.get(_OWNER_HEADER.lower())
    return None if found is None else str(json.loads(found))
