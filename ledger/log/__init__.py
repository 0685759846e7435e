"""A C2SP transparency log that knows nothing of water."""
