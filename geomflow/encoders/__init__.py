"""Shelf of encoders: each file's `make(...)` returns an autoencoder, of shapes to latents and back, or of images."""

from geomflow.encoders._posterior import Posterior

__all__ = ["Posterior"]
