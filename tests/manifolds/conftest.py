"""Tests of manifolds work on tiny tensors, on which several threads only wait for each other."""

from tests.flow.conftest import one_thread

__all__ = ["one_thread"]
