"""Families of shapes that programs draw: one file per family, with one `make(rng)` that returns an assembly.

Shapes are in metres, +y up, front +z, and equal to their mirror image in x. Their parts overlap and never merely touch.
Files that begin with an underscore are shared parts.
"""
