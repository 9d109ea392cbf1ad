"""Manifolds: exp and log undo each other, geodesics have their closed forms, derivatives are finite and right."""

import math

import pytest
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from geomflow import shelves
from geomflow.flow.manifold import Manifold
from geomflow.manifolds.rotations import rotation, rotation_vector

CIRCLE, SPHERE = shelves.load("manifolds", "sphere", coordinates=2), shelves.load("manifolds", "sphere")
ROTATIONS = shelves.load("manifolds", "rotations")
FLAT = shelves.load("manifolds", "euclidean")
MANIFOLDS: dict[str, Manifold] = {
    "euclidean": FLAT,
    "circle": CIRCLE,
    "sphere": SPHERE,
    "sphere3": shelves.load("manifolds", "sphere", coordinates=4),
    "rotations": ROTATIONS,
    "product": shelves.load("manifolds", "product", factors=[FLAT, SPHERE, ROTATIONS]),
}
COUNT = 200

every = pytest.mark.parametrize("name", MANIFOLDS)


def gaussian(manifold: Manifold, seed: int, count: int = COUNT, dtype: torch.dtype = torch.float64) -> Tensor:
    """Unit Gaussian numbers in a manifold's coordinates."""
    return torch.randn(count, manifold.coordinates, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def points(manifold: Manifold, seed: int, count: int = COUNT, dtype: torch.dtype = torch.float64) -> Tensor:
    """Random points."""
    return manifold.project(gaussian(manifold, seed, count, dtype))


def tangents(manifold: Manifold, x: Tensor, seed: int) -> Tensor:
    """Random tangent vectors, none of them longer than 3 (as an angle), some of them tiny."""
    v = manifold.tangent(x, gaussian(manifold, seed, len(x), x.dtype))
    size = torch.logspace(-9, math.log10(3), len(x), dtype=x.dtype)[:, None]
    return v / v.norm(dim=1, keepdim=True) * size


@every
def test_log_undoes_exp_and_exp_undoes_log(name: str) -> None:
    manifold = MANIFOLDS[name]
    x, y = points(manifold, 0), points(manifold, 1)
    v = tangents(manifold, x, 2)
    assert (manifold.log(x, manifold.exp(x, v)) - v).abs().max() < 1e-13
    assert (manifold.exp(x, manifold.log(x, y)) - y).abs().max() < 1e-12
    assert manifold.log(x, x).abs().max() < 1e-14


@every
def test_points_stay_on_the_manifold_and_velocities_tangent(name: str) -> None:
    manifold = MANIFOLDS[name]
    x, y = points(manifold, 0, dtype=torch.float32), points(manifold, 1, dtype=torch.float32)
    for _ in range(100):
        x = manifold.exp(x, 0.3 * manifold.log(x, y) + 0.1 * manifold.tangent(x, gaussian(manifold, 3).float()))
    assert (manifold.project(x.double()) - x).abs().max() < 1e-6
    v = manifold.log(x, y)
    assert (manifold.tangent(x, v) - v).abs().max() < 2e-6
    assert (manifold.tangent(x, manifold.tangent(x, y)) - manifold.tangent(x, y)).abs().max() < 2e-6


@every
def test_geodesics_have_constant_speed_and_the_length_of_the_distance(name: str) -> None:
    """Distances along a geodesic add up, and a velocity's length is the distance, the metric's factor apart."""
    manifold = MANIFOLDS[name]
    x, y = points(manifold, 0), points(manifold, 1)
    v, whole = manifold.log(x, y), manifold.distance(x, y)
    for part in (0.1, 0.5, 0.8):
        between = manifold.exp(x, part * v)
        assert (manifold.distance(x, between) - part * whole).abs().max() < 1e-12
        assert (manifold.distance(between, y) - (1 - part) * whole).abs().max() < 1e-12
    if name != "product":
        factor = 0.5**0.5 if name == "rotations" else 1
        assert (factor * v.norm(dim=1) - whole).abs().max() < 1e-12


@every
def test_derivatives_in_both_modes_are_finite_differences_even_at_zero(name: str) -> None:
    manifold = MANIFOLDS[name]
    x, y = points(manifold, 0, 20), points(manifold, 1, 20)
    v, w = manifold.tangent(x, 0.4 * gaussian(manifold, 2, 20)), manifold.tangent(x, gaussian(manifold, 3, 20))
    v[0], y[1] = 0, x[1]
    for law, at, along in ((manifold.exp, v, w), (manifold.log, y, manifold.tangent(y, gaussian(manifold, 4, 20)))):
        _, forward = torch.func.jvp(lambda u, law=law: law(x, u), (at,), (along,))
        h = 1e-6
        difference = (law(x, at + h * along) - law(x, at - h * along)) / (2 * h)
        assert (forward - difference).abs().max() < 1e-6
        side = gaussian(manifold, 5, 20)
        _, pull = torch.func.vjp(lambda u, law=law: law(x, u), at)
        assert ((pull(side)[0] * along).sum() - (side * forward).sum()).abs() < 1e-9


@every
def test_derivatives_of_projection_are_finite_differences_at_points_and_away_from_them(name: str) -> None:
    """At a rotation all singular values are one, where those of a decomposition have no derivative."""
    manifold = MANIFOLDS[name]
    x = torch.cat([points(manifold, 0, 20), 2 * points(manifold, 1, 20), gaussian(manifold, 2, 20)])
    if name == "rotations":
        x[0] = torch.eye(3).flatten()
    along, side, h = gaussian(manifold, 3, len(x)), gaussian(manifold, 4, len(x)), 1e-6
    _, forward = torch.func.jvp(manifold.project, (x,), (along,))
    difference = (manifold.project(x + h * along) - manifold.project(x - h * along)) / (2 * h)
    assert (forward - difference).abs().max() < 1e-6
    _, pull = torch.func.vjp(manifold.project, x)
    assert ((pull(side)[0] * along).sum() - (side * forward).sum()).abs() < 1e-9


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_cut_locus_is_finite(name: str, dtype: torch.dtype) -> None:
    """Near and at the cut locus a shortest geodesic is found, and its derivative is a number."""
    manifold = MANIFOLDS[name]
    x = points(manifold, 0, dtype=dtype)
    v = tangents(manifold, x, 2)
    v = v / v.norm(dim=1, keepdim=True) * math.pi * (2**0.5 if name == "rotations" else 1)
    for size in (1, 1 - 1e-6, 1 - 1e-3):
        y = manifold.exp(x, size * v)
        found = manifold.log(x, y)
        assert (manifold.exp(x, found) - y).abs().max() < (2e-5 if dtype == torch.float32 else 1e-7)
        slope = torch.func.jvp(lambda y: manifold.log(x, y), (y,), (manifold.tangent(y, v),))[1]
        assert torch.isfinite(slope).all()
    if "sphere" in name or name == "circle":
        assert (manifold.log(x, -x).norm(dim=1) - math.pi).abs().max() < 1e-5
        assert (manifold.exp(x, manifold.log(x, -x)) + x).abs().max() < 1e-5


@pytest.mark.parametrize("angle", [1e-6, 1e-3, 1.0, math.pi - 1e-3, math.pi - 1e-6])
@pytest.mark.parametrize("name", ["circle", "sphere", "sphere3", "rotations"])
def test_single_precision_keeps_its_digits_at_every_angle(name: str, angle: float) -> None:
    """Float32 points beside each other and beside the cut locus: log and distance are those of float64 to rounding.

    Half of the geodesic ends half way, which only a vector that is tangent as exactly does near the cut locus.
    """
    manifold = MANIFOLDS[name]
    x = points(manifold, 0)
    v = tangents(manifold, x, 2)
    v = angle * v / v.norm(dim=1, keepdim=True) * (2**0.5 if name == "rotations" else 1)
    near, far = x.float(), manifold.exp(x, v).float()
    found, exact = manifold.log(near, far), manifold.log(near.double(), far.double())
    assert ((found - exact).norm(dim=1) / exact.norm(dim=1)).max() < 1e-6
    length, truth = manifold.distance(near, far), manifold.distance(near.double(), far.double())
    assert ((length - truth).abs() / truth).max() < 1e-6
    half = manifold.exp(near, found / 2)
    assert (manifold.distance(near, half) - truth / 2).abs().max() < 2e-6


def test_projected_noise_is_uniform() -> None:
    """Moments of the uniform distributions: <x x^T> = 1 / n on spheres; the trace of a random rotation has 0 and 1."""
    x = points(SPHERE, 0, 40_000)
    assert (x.T @ x / len(x) - torch.eye(3) / 3).abs().max() < 0.01
    turns = points(ROTATIONS, 0, 40_000).unflatten(-1, (3, 3))
    trace = turns.diagonal(dim1=-2, dim2=-1).sum(-1)
    assert (torch.linalg.det(turns) - 1).abs().max() < 1e-12
    assert trace.mean().abs() < 0.02
    assert (trace.square().mean() - 1).abs() < 0.03
    angles = torch.linspace(0, math.pi, 7, dtype=torch.float64)[1:-1]
    start = torch.eye(3, dtype=torch.float64).expand_as(turns).flatten(-2)
    shares = (ROTATIONS.distance(turns.flatten(-2), start)[:, None] < angles).double().mean(0)
    assert (shares - (angles - angles.sin()) / math.pi).abs().max() < 0.01  # Haar: density (1 - cos a) / pi


def test_distances_on_the_sphere_are_angles() -> None:
    """Kahan's formula sees angles that the arc cosine rounds away."""
    pole = torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.float64)
    for angle in (0.0, 1e-10, 1e-3, 1.0, math.pi - 1e-10, math.pi):
        other = torch.tensor([[math.sin(angle), 0.0, math.cos(angle)]], dtype=torch.float64)
        assert abs(float(SPHERE.distance(pole, other)) - angle) < 1e-15


def test_rotations_agree_with_scipy() -> None:
    vectors = Rotation.random(500, random_state=0).as_rotvec()
    vectors[:4] = [[0, 0, 0], [1e-9, 0, 0], [math.pi, 0, 0], [0, 0.6 * (math.pi - 1e-7), -0.8 * (math.pi - 1e-7)]]
    ours = rotation(torch.from_numpy(vectors))
    theirs = Rotation.from_rotvec(vectors)
    assert abs(ours.numpy() - theirs.as_matrix()).max() < 1e-14
    assert abs(rotation_vector(ours).numpy() - vectors).max() < 1e-8
    other = Rotation.random(500, random_state=1)
    flat = [torch.from_numpy(turn.as_matrix().copy()).flatten(-2) for turn in (theirs, other)]
    assert abs(ROTATIONS.distance(*flat).numpy() - (theirs.inv() * other).magnitude()).max() < 1e-12


def test_the_metric_of_rotations_is_bi_invariant() -> None:
    """Turning both rotations, before or after, changes neither distance nor the geodesic between them."""
    x, y, turn = (points(ROTATIONS, seed).unflatten(-1, (3, 3)) for seed in range(3))
    flat = [pair.flatten(-2) for pair in (x, y, turn @ x, turn @ y, x @ turn, y @ turn)]
    plain = ROTATIONS.distance(*flat[:2])
    assert (ROTATIONS.distance(*flat[2:4]) - plain).abs().max() < 1e-12
    assert (ROTATIONS.distance(*flat[4:]) - plain).abs().max() < 1e-12
    middle = ROTATIONS.exp(flat[0], 0.3 * ROTATIONS.log(*flat[:2])).unflatten(-1, (3, 3))
    assert (ROTATIONS.exp(flat[2], 0.3 * ROTATIONS.log(*flat[2:4])) - (turn @ middle).flatten(-2)).abs().max() < 1e-12
    assert (ROTATIONS.exp(flat[4], 0.3 * ROTATIONS.log(*flat[4:])) - (middle @ turn).flatten(-2)).abs().max() < 1e-12


@every
def test_points_have_no_defect_and_other_numbers_do(name: str) -> None:
    manifold = MANIFOLDS[name]
    x = points(manifold, 0)
    assert manifold.defect(x).max() < 1e-12
    if name != "euclidean":
        assert (manifold.defect(gaussian(manifold, 1)) > 0.03).double().mean() > 0.9
    with pytest.raises(
        ValueError, match=rf"x must have {manifold.coordinates} coordinates on the last axis, given sha"
    ):
        manifold.project(x[:, 1:])


def test_defects_are_how_far_off_something_is() -> None:
    """By length on the sphere; on SO(3) c R is off by sqrt(3) |c^2 - 1| + |c^3 - 1| and a reflection by 2."""
    x, turn = points(SPHERE, 0), points(ROTATIONS, 0)
    assert (SPHERE.defect(1.25 * x) - 0.25).abs().max() < 1e-12
    assert (ROTATIONS.defect(1.1 * turn) - (3**0.5 * 0.21 + 0.331)).abs().max() < 1e-12
    assert (ROTATIONS.defect(-turn) - 2).abs().max() < 1e-12
    both = torch.cat([x, 1.25 * x, turn], dim=1)
    assert (MANIFOLDS["product"].defect(both) - 0.25).abs().max() < 1e-12


def test_a_vector_of_length_zero_has_no_direction() -> None:
    x = points(SPHERE, 0)
    x[3] = 0
    with pytest.raises(ValueError, match="x must be vectors with a direction, given one of length 0"):
        SPHERE.project(x)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("euclidean", {"coordinates": 0}, "coordinates must be at least 1, given 0"),
        ("sphere", {"coordinates": 1}, "coordinates must be at least 2, given 1"),
        ("product", {"factors": []}, "factors must be at least one manifold, given none"),
    ],
)
def test_impossible_manifolds_are_refused(name: str, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        shelves.load("manifolds", name, **options)
