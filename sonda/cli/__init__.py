"""`sonda`: the pipeline for people, on the command line.

What is slow to load is loaded by the command that needs it: a person waits for each start.
"""

from __future__ import annotations


def main() -> None:
    """Run the command line, and exit with its status."""
    from sonda.cli.commands import sonda

    sonda(prog_name="sonda")
