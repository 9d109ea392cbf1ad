"""Preprocessing: folders of meshes into datasets of shape records."""
