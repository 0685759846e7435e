"""The twin as a graph: who is joined to whom, and traces over it."""
