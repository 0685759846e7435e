"""Leaks in a stream of readings: found, followed and closed, day by day, several at a time."""
