"""Shelf of pipelines: each file's `make(model, saved, device)` returns what generates with a restored model."""
