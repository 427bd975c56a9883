"""Finding encoders and sinks by name."""
