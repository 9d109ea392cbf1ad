"""Families of procedural rigs: one per file, each with `make(rng)`; files that begin with an underscore are shared.

A family draws its creatures in a frame of its own, +y up and front +z, about 1 long; `data_prep.procedural_rigs` does
the rest. The parts of a body overlap, so that its surface is one piece.
"""
