"""Whatever takes a mesh refuses what is none in the same words, and says how to get a mesh of it."""

import inspect
from pathlib import Path

import numpy as np
import pytest
import trimesh

import geomflow.geometry
from geomflow.geometry.orient import orient
from geomflow.geometry.thickness import print_report, wall_thickness
from geomflow.geometry.weld import weld
from geomflow.interop import write_usd
from geomflow.viz import contact_sheet, render

BOX = trimesh.creation.box()
OTHERS = {
    "count": 10,
    "points": np.zeros((1, 3)),
    "rig": None,
    "path": Path("never-written.ply"),
    "minimum_thickness": 0.1,
}
"""What functions want beside the mesh."""

GIVEN = [
    ("a.obj", "the path 'a.obj': read_surface reads a mesh from it"),
    (Path("a.obj"), "the path 'a.obj': read_surface reads a mesh from it"),
    (trimesh.Scene([BOX]), "a Scene: its to_mesh\\(\\) is a mesh"),
    (trimesh.PointCloud(BOX.vertices), "a PointCloud: a surface is wanted, not 8 points only"),
    (None, "a NoneType"),
    ([BOX], "a list"),
]


def takes_a_mesh(function) -> bool:
    return callable(function) and next(iter(inspect.signature(function).parameters), "") == "mesh"


PUBLIC = [
    function
    for name in geomflow.geometry.__all__
    if name not in ("Normalized",) and takes_a_mesh(function := getattr(geomflow.geometry, name))
]


def test_all_public_functions_of_meshes_are_looked_at():
    assert {function.__name__ for function in PUBLIC} >= {
        "SignedDistanceField",
        "repair",
        "sample_surface",
        "write_rig",
    }


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize(
    "function", [*PUBLIC, orient, weld, wall_thickness, print_report, render, write_usd], ids=lambda f: f.__name__
)
def test_what_is_no_mesh_is_refused_by_name(function, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    needed = [p.name for p in inspect.signature(function).parameters.values() if p.default is p.empty][1:]
    for given, said in GIVEN:
        with pytest.raises(TypeError, match=f"^mesh must be a trimesh.Trimesh, given {said}$"):
            function(given, **{name: OTHERS[name] for name in needed})
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("unchecked_shapes")
def test_the_way_out_is_one():
    assert geomflow.geometry.solid_report(trimesh.Scene([BOX]).to_mesh()).passes
    with pytest.raises(TypeError, match="given a PointCloud"):
        contact_sheet([BOX, trimesh.PointCloud(BOX.vertices)])


def test_kinds_of_meshes_are_meshes():
    ball = trimesh.primitives.Sphere(radius=0.5)
    assert geomflow.geometry.solid_report(ball).passes
    assert np.linalg.norm(geomflow.geometry.sample_surface(ball, 10).points, axis=1) == pytest.approx(0.5, abs=0.01)
