"""Tests of the sinks, over real sockets and files."""
