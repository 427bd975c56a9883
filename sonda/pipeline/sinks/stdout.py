"""Writes to the process's standard output, or to what stands in for it, as in a notebook.

Events take turns, also with the other processes that write to it through this sink.

**Confirmed:** HANDED_OFF, written whole and flushed to the operating system; whoever reads the
other end of a pipe has not answered.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, TextIO

from returns.result import Failure, Result, Success

from sonda.pipeline.model import Acknowledged, Confirmed
from sonda.pipeline.problems import OutcomeUnknown, Unreachable
from sonda.pipeline.sinks import Sink
from sonda.pipeline.transport.files import claim, wait_for_room, write_whole
from sonda.pipeline.transport.lines import Job, Verdict, line_up
from sonda.pipeline.transport.sockets import words

if TYPE_CHECKING:
    from sonda.pipeline.deadline import Deadline
    from sonda.pipeline.model import Payload, Pending
    from sonda.pipeline.problems import Problem
    from sonda.pipeline.transport import Transport
