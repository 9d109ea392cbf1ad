"""Shelf of datasets: each file's `make(folder, split, ...)` returns shapes ready to be batched."""
