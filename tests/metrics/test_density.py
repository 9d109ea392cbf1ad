"""The dispersion of points over a surface: 1 for uniform, and its closed value for a known unevenness."""

import numpy as np
import pytest
import trimesh

from geomflow.geometry.surface import sample_surface
from geomflow.metrics import density_dispersion


def test_uniform_points_have_dispersion_one():
    mesh = trimesh.creation.torus(0.7, 0.25)
    values = [density_dispersion(sample_surface(mesh, 20_000, seed).points, mesh, 100 + seed) for seed in range(1, 6)]
    assert np.mean(values) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("excess", [0.3, 0.6])
def test_a_density_off_by_a_factor_adds_its_square_per_cell(excess):
    """Half of a plate's area at 1 + e, half at 1 - e: the counts' variance gains (100 e)^2 over an expected 100."""
    mesh = trimesh.creation.box(extents=(2, 2, 1e-4))
    points = sample_surface(mesh, 80_000, 7).points
    kept = np.random.default_rng(0).random(len(points)) < np.where(points[:, 0] > 0, 1 + excess, 1 - excess) / 2
    points = points[kept][:20_000]
    found = density_dispersion(points, mesh) - 1
    assert found == pytest.approx(100 * excess**2, rel=0.2)


def test_evenly_spread_points_have_less():
    grid = np.stack(np.meshgrid(*[np.linspace(-0.99, 0.99, 100)] * 2), axis=-1).reshape(-1, 2)
    points = np.column_stack([grid, np.zeros(len(grid))])
    mesh = trimesh.Trimesh([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]], [[0, 1, 2], [0, 2, 3]])
    assert density_dispersion(points, mesh) < 0.5


def test_bad_input_is_named():
    mesh = trimesh.creation.box()
    with pytest.raises(ValueError, match="points must be at least 200 to have a density, given 50"):
        density_dispersion(np.zeros((50, 3)), mesh)
    with pytest.raises(ValueError, match="points must be finite"):
        density_dispersion(np.full((300, 3), np.nan), mesh)
