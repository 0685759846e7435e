"""Arrays in, arrays out: network algebra, leak detection and localization."""
