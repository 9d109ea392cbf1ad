"""Shelf of rewards of shapes: each file's `make(...)` returns a callable, distances (batch, n, n, n) to (batch,) numbers.

The distances are samples of a field at the nodes of a grid over [-1, 1]^3, x first, negative inside, +y up; the more the
better, with a gradient. `_grid` is what they share. Whatever is smaller than the spacing of the grid they do not see.
"""
