"""Scenarios: streams of events at a rate, compiled into an exact plan and run against a ledger."""
