"""Leak runs: from recorded readings to a zone with its probability, and the book of found leaks."""
