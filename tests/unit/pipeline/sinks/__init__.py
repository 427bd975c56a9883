"""Tests of `sonda.pipeline.sinks`."""
