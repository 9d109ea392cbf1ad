"""Geometry on the host: read, normalise, sample, measure distances, grid and extract; NumPy and Warp, never torch."""
