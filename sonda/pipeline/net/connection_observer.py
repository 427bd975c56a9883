"""Who is told of connections: nobody, unless a server asks."""

from __future__ import annotations


class Observer:
    """Is told, by the kind of sink, of each connection that is opened and closed; does nothing."""

    def opened(self, sink: str) -> None:
        """Take note of a connection that can be used."""

    def closed(self, sink: str) -> None:
        """Take note of the end of one."""


NOBODY = Observer()
