"""Shelf of objectives: one file each, with ``make(...) -> Objective``."""
