"""gRPC in a forked process: new calls are refused, and inherited channels are never destroyed.

Its threads exist in the parent only. In the child a call would wait for them for ever, and so
would the destructor of an inherited channel, whenever garbage is collected.
"""

from __future__ import annotations

import ctypes
import os
import weakref
from typing import Final

import grpc.aio

_CHANNELS: Final[weakref.WeakSet[grpc.aio.Channel]] = weakref.WeakSet()
_PROCESS: Final[list[int]] = []
"""The process in which gRPC has been started, once it has."""


def check_process() -> None:
    """Raise `OSError` in a process that was forked after gRPC had been started."""
    if not _PROCESS:
        _PROCESS.append(os.getpid())
        os.register_at_fork(after_in_child=_abandon)
    elif _PROCESS[0] != os.getpid():
        raise OSError(
            "gRPC cannot be used here: this process was forked after it had been used "
            "(fork before the first event, spawn the process, or use the sink otlp_http)"
        )


def remember(channel: grpc.aio.Channel) -> grpc.aio.Channel:
    """Return *channel*, which a forked process will not touch."""
    _CHANNELS.add(channel)
    return channel


def _abandon() -> None:
    """Keep the parent's channels from ever being destroyed in the child, even at its end."""
    for channel in list(_CHANNELS):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(channel))
