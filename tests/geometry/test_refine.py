"""Refinement: vertices on the surface, normals of the field, creases and topology as they were."""

import numpy as np
import pytest

from geomflow.geometry.extract import extract_mesh
from geomflow.geometry.primitives import Box, Sphere, Torus
from geomflow.geometry.refine import gradient, refine_vertices

SPACING = 2 / 47


@pytest.mark.parametrize("solid", [Sphere(0.8), Torus(), lambda points: 1.4 * Sphere(0.5)(points) ** 3])
def test_vertices_come_to_lie_on_smooth_surfaces(solid):
    rough = extract_mesh(solid, 48)
    fine = refine_vertices(rough, solid, SPACING)
    before, after = (np.abs(solid(np.asarray(mesh.vertices))).max() for mesh in (rough, fine))
    assert after < 0.3 * before
    assert np.linalg.norm(fine.vertices - rough.vertices, axis=1).max() <= SPACING / 2 + 1e-9
    np.testing.assert_array_equal(fine.faces, rough.faces)
    assert fine.is_watertight


def test_a_sphere_is_met_a_thousand_times_as_well_and_its_normals_are_exact():
    rough, sphere = extract_mesh(Sphere(0.8), 48), Sphere(0.8)
    fine = refine_vertices(rough, sphere, SPACING)
    assert np.abs(sphere(fine.vertices)).max() < 1e-3 * np.abs(sphere(rough.vertices)).max()
    radial = fine.vertices / np.linalg.norm(fine.vertices, axis=1, keepdims=True)
    np.testing.assert_allclose(fine.vertex_normals, radial, atol=1e-5)


def test_nothing_gets_worse_at_creases_and_a_level_is_kept():
    box = Box((0.51, 0.33, 0.62))
    rough = extract_mesh(box, 48, level=0.05)
    np.testing.assert_array_equal(
        extract_mesh(box, 48, level=0.05, refine=2).vertices, refine_vertices(rough, box, SPACING, 2, 0.05).vertices
    )
    fine = refine_vertices(rough, box, SPACING, level=0.05)
    before, after = (np.abs(box(np.asarray(mesh.vertices)) - 0.05) for mesh in (rough, fine))
    assert (after <= before).all()
    assert after.max() < 1e-5


def test_a_gradient_is_that_of_the_field_and_bad_input_is_named():
    np.testing.assert_allclose(gradient(lambda p: p @ [1.0, -2.0, 3.0], np.eye(3), 0.1), [[1, -2, 3]] * 3, atol=1e-12)
    with pytest.raises(ValueError, match=r"rounds must be at least 0 and spacing positive, given -1 and 0\.1"):
        refine_vertices(Sphere().mesh(), Sphere(), 0.1, rounds=-1)
