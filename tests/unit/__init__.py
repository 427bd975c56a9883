"""Tests of one module each, laid out as sonda is."""
