"""The configuration that is in force, and its reload by SIGHUP."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from sonda.config import ConfigError
from sonda.pipeline.model import NamedDestination
from sonda.pipeline.policy.callers import ApiKey
from sonda.server.config import Config, Source, build, read_source
from sonda.server.settings import Settings

_LOG: Final = logging.getLogger("sonda")


class LiveConfig:
    """Holds the configuration of one process; whoever needs it asks each time anew."""

    def __init__(self, config: Config | None = None) -> None:
        self.current = config or Config()
        self._reloading = threading.Lock()

    def destinations(self) -> Mapping[str, NamedDestination]:
        """Return the destinations with a name."""
        return self.current.destinations

    def keys(self) -> Sequence[ApiKey]:
        """Return the keys that are valid."""
        return self.current.keys

    def files(self) -> Sequence[Path]:
        """Return the files that no request may reach."""
        return self.current.files

    def secrets(self) -> Iterable[str]:
        """Return every text that no log may show."""
        return self.current.secrets()

    def reload(self, settings: Settings) -> Source | None:
        """Read everything again and put it in force; return what was read.

        Where anything is wrong nothing changes, the faults are logged, and `None` is returned. A
        configuration without any key is wrong where there was one.
        """
        with self._reloading:
            try:
                source = read_source(settings)
                config = _keeping_auth(build(source), self.current)
            except ConfigError as exc:
                for fault in exc.faults:
                    _LOG.error("the configuration stays as it was: %s", fault)
                return None
            self.current = config
        counts = (len(config.destinations), len(config.keys))
        _LOG.info("the configuration was read again: %d destinations, %d keys", *counts)
        return source

    def reload_in_thread(self, settings: Settings) -> None:
        """Reload beside the event loop, which the file system must not keep waiting."""
        threading.Thread(target=self.reload, args=(settings,), daemon=True).start()

    def apply(self, source: Source) -> None:
        """Put in force what another process of this server has read and found right."""
        self.current = build(source)


def _keeping_auth(config: Config, before: Config) -> Config:
    """Return *config*; raise `ConfigError` if it turns authentication off."""
    if before.keys and not config.keys:
        raise ConfigError("no key is left, which would let anybody call")
    return config
