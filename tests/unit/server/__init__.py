"""Units of `sonda.server`."""
