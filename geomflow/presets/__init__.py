"""Shelf of presets: each file's `make()` returns the configuration of a run that is known to work."""
