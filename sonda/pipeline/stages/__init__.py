"""The stages of a delivery: parse, validate, preflight, encode, and in `send.py` push and flush.

The first four are pure. `admit` stands before push, `verify` after flush. In a dry run `preview`
takes the place of push and flush.
"""
