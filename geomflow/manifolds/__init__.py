"""Shelf of manifolds: one file each, with ``make(...) -> Manifold``; see ``geomflow.flow.manifold`` for the promise."""
