"""The ways to make a key set that are compared, one a module."""
