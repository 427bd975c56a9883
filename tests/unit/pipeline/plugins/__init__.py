"""Tests of how plug-ins are found."""
