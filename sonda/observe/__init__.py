"""Observers of deliveries: the log and the metrics. They know no HTTP."""
