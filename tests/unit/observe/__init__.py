"""Units of `sonda.observe`."""
