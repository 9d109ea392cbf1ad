"""Shelf of two-time networks: each file's `make(...)` returns a module (x, t, r, condition) -> like x."""
