"""Solid reports with exact answers."""

import numpy as np
import pytest
import trimesh

from geomflow.geometry.primitives import Box, Moved
from geomflow.geometry.solid import count_self_intersections, keep_largest, solid_report


def inverted(mesh: trimesh.Trimesh) -> trimesh.Trimesh:
    mesh.invert()
    return mesh


def joined(*meshes: trimesh.Trimesh) -> trimesh.Trimesh:
    return trimesh.util.concatenate(list(meshes))


def test_a_box_is_a_solid():
    report = solid_report(Box((0.5, 0.4, 0.3)).mesh())
    assert report.passes
    assert report.volume == pytest.approx(8 * 0.5 * 0.4 * 0.3)
    assert (report.bodies, report.outer_components, report.self_intersections) == (1, 1, 0)


def test_what_is_missing_is_said():
    box = Box().mesh()
    assert "not watertight" in solid_report(trimesh.Trimesh(box.vertices, box.faces[:-1], process=False)).reasons()
    assert solid_report(inverted(Box().mesh())).reasons()[0] == "0 outer components"
    assert solid_report(joined(box, Moved(Box(), (3.0, 0.0, 0.0)).mesh())).reasons() == ["2 outer components"]


def test_a_cavity_is_no_second_component_and_takes_its_volume():
    hollow = joined(Box((0.8, 0.8, 0.8)).mesh(), inverted(Box((0.2, 0.2, 0.2)).mesh()))
    report = solid_report(hollow)
    assert report.passes
    assert (report.bodies, report.outer_components) == (2, 1)
    assert report.volume == pytest.approx(1.6**3 - 0.4**3)


def test_self_intersections_equal_brute_force():
    other = trimesh.creation.icosphere(2, 0.5).apply_translation((0.31, 0.22, 0.13))
    mesh = joined(trimesh.creation.icosphere(2, 0.5), other)
    assert count_self_intersections(np.asarray(mesh.vertices), np.asarray(mesh.faces)) == brute_force(mesh) > 50


def brute_force(mesh: trimesh.Trimesh) -> int:
    """Pairs of which an edge of one pierces the other, by solving for the crossing of edge and plane."""
    triangles, faces, count = np.asarray(mesh.triangles), np.asarray(mesh.faces), 0
    for i in range(len(faces)):
        others = np.array([j for j in range(i + 1, len(faces)) if not set(faces[i]) & set(faces[j])], dtype=int)
        close = others[overlap(triangles[i], triangles[others])]
        forth = pierced(triangles[i], triangles[close])
        back = np.array([pierced(triangles[j], triangles[i][None])[0] for j in close], dtype=bool)
        count += int((forth | back).sum())
    return count


def overlap(one: np.ndarray, many: np.ndarray) -> np.ndarray:
    return ((many.min(1) <= one.max(0)) & (many.max(1) >= one.min(0))).all(axis=1)


def pierced(by: np.ndarray, many: np.ndarray) -> np.ndarray:
    """Whether an edge of the triangle `by` runs through each of many triangles."""
    origin, u, v = many[:, 0], many[:, 1] - many[:, 0], many[:, 2] - many[:, 0]
    found = np.zeros(len(many), dtype=bool)
    for start, end in ((by[0], by[1]), (by[1], by[2]), (by[2], by[0])):
        system = np.stack([np.broadcast_to(start - end, u.shape), u, v], axis=2)
        with np.errstate(all="ignore"):
            t, a, b = np.linalg.solve(system, (start - origin)[..., None])[..., 0].T
        found |= (t > 0) & (t < 1) & (a > 0) & (b > 0) & (a + b < 1)
    return found


def test_keep_largest_drops_specks_and_keeps_the_cavity_of_what_stays():
    body = joined(Box((0.8, 0.8, 0.8)).mesh(), inverted(Box((0.2, 0.2, 0.2)).mesh()))
    speck = Moved(Box((0.05, 0.05, 0.05)), (0.95, 0.0, 0.0)).mesh()
    cleaned, dropped = keep_largest(joined(body, speck), share=0.02)
    assert dropped == 1
    assert cleaned.volume == pytest.approx(1.6**3 - 0.4**3)
    assert keep_largest(joined(body, speck), share=0.0)[1] == 0
    with pytest.raises(ValueError, match=r"share must be in \[0, 1\]"):
        keep_largest(body, 2.0)


def test_keep_largest_drops_cavities_with_their_body_and_keeps_each_of_those_that_stay():
    """Cavities stand before bodies, and in another order, so that each has to find its own."""
    holes = [(0.0, (0.2, 0.3)), (2.0, (0.1, 0.1)), (4.0, (0.3, 0.0))]  # where bodies are, half edges of two cavities
    bodies = [Moved(Box((0.8,) * 3 if x < 4 else (0.35,) * 3), (x, 0.0, 0.0)).mesh() for x, _ in holes]
    sizes = [(x, size, 0.4 if k else -0.4) for x, pair in reversed(holes) for k, size in enumerate(pair) if size]
    walls = [inverted(Moved(Box((size / 2,) * 3), (x, 0.0, y if x < 4 else 0.0)).mesh()) for x, size, y in sizes]
    cleaned, dropped = keep_largest(joined(*walls, *bodies), share=0.2)
    assert dropped == 2  # the small body and its only cavity
    assert cleaned.volume == pytest.approx(2 * 1.6**3 - 0.2**3 - 0.3**3 - 2 * 0.1**3)


def test_keep_largest_keeps_the_normals_that_a_mesh_was_given():
    body, speck = Box((0.8, 0.8, 0.8)).mesh(), Moved(Box((0.05, 0.05, 0.05)), (0.95, 0.0, 0.0)).mesh()
    mesh = joined(body, speck)
    given = np.tile([[0.0, 0.0, 1.0]], (len(mesh.vertices), 1))
    mesh = trimesh.Trimesh(mesh.vertices, mesh.faces, vertex_normals=given, process=False)
    np.testing.assert_array_equal(keep_largest(mesh, 0.02)[0].vertex_normals, given[: len(body.vertices)])


def test_nothing_is_no_solid():
    report = solid_report(trimesh.Trimesh())
    assert not report.passes
    assert report.bodies == 0
