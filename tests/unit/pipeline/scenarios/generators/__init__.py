"""Tests of `sonda.pipeline.scenarios.generators`."""
