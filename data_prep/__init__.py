"""Recipes: where the meshes of known sources are, their ids, splits, axes and terms; geomflow.prep does the work."""
