"""The vocabulary of the water cycle, the rules that judge it, and the services that people use."""
