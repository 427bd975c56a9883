"""Inputs by the million: bodies along the schemas, through the stages and over HTTP."""
