"""Tests of `sonda.pipeline.text`."""
