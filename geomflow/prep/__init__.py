"""Preprocessing: folders of meshes into datasets of shape records."""

from geomflow.prep.recipe import Recipe
from geomflow.prep.runner import PrepSummary, prepare

__all__ = ["PrepSummary", "Recipe", "prepare"]
