"""The stages of a delivery, one file each: parse, validate, preflight, encode, push, flush.

The first four are pure. `admit` stands before push, `verify` after flush, and `preview` in the place
of both for a dry run.
"""
