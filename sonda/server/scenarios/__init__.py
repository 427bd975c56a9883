"""Scenarios of a server: one runner process owns them, the workers forward to it."""
