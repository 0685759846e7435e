"""The report of a leak run: one file that opens anywhere, without a network."""
