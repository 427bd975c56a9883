"""Schemathesis against a real server, which does what its OpenAPI document says."""
