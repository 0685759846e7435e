"""Finding leaks from pressure: when one began, and where it may be."""
