"""Shelf of noise sources: each file's `make(...)` returns a `NoiseSource`, where flow maps of points begin.

A flow map joins any noise that is drawn independently of the data to them. Sources have zero mean and unit variance per
coordinate, as the formulations' scalings expect; those that are about space give a point's three coordinates and leave
its other channels to the normal distribution.
"""
