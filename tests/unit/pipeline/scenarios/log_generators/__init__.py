"""Tests of `sonda.pipeline.scenarios.log_generators`."""
