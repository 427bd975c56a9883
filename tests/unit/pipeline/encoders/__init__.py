"""Tests of `sonda.pipeline.encoders`."""
