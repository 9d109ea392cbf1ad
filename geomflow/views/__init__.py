"""Shelf of views: each file's `make(...)` returns how one other project lays a dataset out; see `docs/formats.md`."""
