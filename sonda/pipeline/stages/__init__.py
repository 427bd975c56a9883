"""The six stages of the line, one file each; the first four are pure."""
