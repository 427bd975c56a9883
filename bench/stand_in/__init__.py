"""Destinations of our own that say yes at once or after a delay, and count what they are sent.

Each runs as a process of its own (`python -m bench.stand_in --help`) and does next to nothing per
request, so that it is not what is measured.
"""
