"""Gaussian noise: independent standard normal numbers."""

from geomflow.flow.random import NoiseSource, normal


def make() -> NoiseSource:
    """The standard normal distribution."""
    return normal
