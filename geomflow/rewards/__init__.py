"""Shelf of rewards of shapes: each file's `make(...)` returns a callable, distances (batch, n, n, n) to (batch,).

The distances are samples of a field at the nodes of a grid over [-1, 1]^3, x first, negative inside, +y up. The higher
a reward the better, and it has a gradient. `_grid` is what they share. They do not see what is smaller than the spacing
of the grid.
"""
