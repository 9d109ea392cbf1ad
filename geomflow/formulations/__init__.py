"""Shelf of formulations: one file each, with ``make(...) -> Formulation``."""
