"""Values that stages and sinks share: addresses, timestamps, durations, clocks."""
