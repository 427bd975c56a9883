"""The pipeline: from the bytes of an event to its receipt, as a library."""
