"""Text for people: escaped, redacted, and drawn as cards."""
