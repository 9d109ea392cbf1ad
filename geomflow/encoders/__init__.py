"""Shelf of encoders: each file's `make(...)` returns an autoencoder between shapes and latents."""
