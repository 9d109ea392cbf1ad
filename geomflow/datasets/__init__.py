"""Shelf of datasets: each file's `make(folder, split, ...)` returns shapes in memory, ready to be batched."""
