"""Leakage accounting: how much water is lost, by which standard that is much, and what it costs."""
