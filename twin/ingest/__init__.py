"""The doors through which readings come in."""
