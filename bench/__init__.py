"""What an acknowledgement costs: `make bench` measures it and writes `RESULTS.md`."""
