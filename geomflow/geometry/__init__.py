"""Geometry on the host: read, normalise, sample, measure distances, grid and extract; NumPy and Warp, never torch."""

from geomflow.geometry.distance import SignedDistance, SignedDistanceField, signed_distance
from geomflow.geometry.extract import extract_mesh
from geomflow.geometry.frame import Normalized, Similarity, normalize
from geomflow.geometry.grid import SdfGrid, sdf_grid
from geomflow.geometry.joints import distinct_joints
from geomflow.geometry.read import read_mesh, read_surface
from geomflow.geometry.read_grid import read_grid
from geomflow.geometry.repair import fill, remesh, repair
from geomflow.geometry.rig import Rig, is_rigged, read_rig
from geomflow.geometry.sharp import sample_sharp_edges
from geomflow.geometry.solid import SolidReport, keep_largest, solid_report
from geomflow.geometry.surface import SurfaceSamples, sample_surface
from geomflow.geometry.write import write_mesh
from geomflow.geometry.write_rig import write_rig

__all__ = [
    "Normalized",
    "Rig",
    "SdfGrid",
    "SignedDistance",
    "SignedDistanceField",
    "Similarity",
    "SolidReport",
    "SurfaceSamples",
    "distinct_joints",
    "extract_mesh",
    "fill",
    "is_rigged",
    "keep_largest",
    "normalize",
    "read_grid",
    "read_mesh",
    "read_rig",
    "read_surface",
    "remesh",
    "repair",
    "sample_sharp_edges",
    "sample_surface",
    "sdf_grid",
    "signed_distance",
    "solid_report",
    "write_mesh",
    "write_rig",
]
