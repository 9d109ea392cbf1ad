"""What flow maps on manifolds refuse: data and noise that are no points, manifolds that are none."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from geomflow import shelves
from geomflow.flow import FlowMap
from geomflow.flow.geodesic import Geodesic
from tests.flow.curved import SPHERE, jumps

pytestmark = pytest.mark.usefixtures("unchecked_shapes")


@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [
        ("sphere", lambda x: 0.5 * x, r"data must lie on Sphere\(coordinates=3\), given points up to 0\.5 off it"),
        ("sphere", lambda x: x[:, :2], r"data must have 3 coordinates on the last axis, given shape \(64, 2\)"),
        ("sphere", lambda x: x / 0 * 0, "data must lie on .* given points up to nan off it"),
        ("rotations", lambda x: -x, r"data must lie on Rotations\(coordinates=9\), given points up to 2 off it"),
        ("rotations", lambda x: 1.1 * x, "data must lie on Rotations"),
    ],
)
def test_data_off_the_manifold_are_refused(name: str, spoil: Callable[[Tensor], Tensor], message: str) -> None:
    """Vectors of another length, reflections, stretched rotations, numbers that are none, another width."""
    manifold = shelves.load("manifolds", name)
    batch, formulation = jumps(manifold), Geodesic(manifold=manifold)
    with pytest.raises(ValueError, match=message):
        formulation.x_t(spoil(batch.data), batch.noise, batch.t)
    formulation.x_t(batch.data.bfloat16().double(), batch.noise, batch.t)


def test_what_is_no_manifold_and_what_has_no_room_are_refused() -> None:
    with pytest.raises(TypeError, match=r"manifold must be one, as shelves.load\(.*\) gives, given 'sphere'"):
        Geodesic(manifold="sphere")  # pyright: ignore
    flat, batch = shelves.load("manifolds", "euclidean"), jumps(SPHERE)
    with pytest.raises(TypeError, match=r"manifold must have a log_shell for likelihoods, .* given Euclidean"):
        Geodesic(manifold=flat).log_likelihood(batch.noise, batch.data, batch.t)
    flow_map = FlowMap(lambda x, t, r: 0 * x, Geodesic(manifold=SPHERE))
    with pytest.raises(ValueError, match=r"x must have 3 coordinates on the last axis, given shape \(5, 4\)"):
        flow_map.sample(torch.randn(5, 4))
