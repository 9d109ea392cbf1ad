"""Points to a mesh: closed, in its own frame and unit, as large as the solid that the points are of."""

import numpy as np
import pytest

from geomflow.geometry.from_points import mesh_from_points
from geomflow.geometry.primitives import Sphere, Torus
from geomflow.geometry.surface import sample_surface


@pytest.mark.parametrize("solid", [Sphere(), Torus()])
def test_the_solid_comes_back(solid):
    true = solid.mesh()
    points, normals = sample_surface(true, 8000, seed=1)
    scale, shift = 40.0, np.array([100.0, -3.0, 7.0])
    made = mesh_from_points(points * scale + shift, normals, resolution=64)
    local = (np.asarray(made.vertices) - shift) / scale
    assert made.is_watertight
    assert made.volume / scale**3 == pytest.approx(true.volume, rel=0.02)
    assert np.abs(solid(local)).max() < 0.02
    assert made.euler_number == true.euler_number


def test_bad_points_are_refused(unchecked_shapes):
    points = np.zeros((10, 3))
    with pytest.raises(ValueError, match=r"n above 16, given \(10, 3\) and \(10, 3\)"):
        mesh_from_points(points, points)
    with pytest.raises(ValueError, match="method must be one of winding, poisson, given 'ball'"):
        mesh_from_points(points, points, method="ball")  # pyright: ignore


def test_poisson_says_what_it_needs():
    points, normals = sample_surface(Sphere().mesh(), 2000, seed=1)
    try:
        import open3d  # noqa: F401
    except ImportError:
        with pytest.raises(ImportError, match=r"pip install 'geomflow\[open3d\]'"):
            mesh_from_points(points, normals, method="poisson")
    else:
        assert mesh_from_points(points, normals, 64, "poisson").volume == pytest.approx(
            Sphere().mesh().volume, rel=0.03
        )
