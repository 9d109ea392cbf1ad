"""How well a mesh reproduces another: volumetric IoU, chamfer, F-score and normal consistency in the box [-1, 1]^3."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields
from typing import NamedTuple

import numpy as np
import trimesh
from jaxtyping import Bool, Shaped

from geomflow.geometry.distance import SignedDistanceField
from geomflow.geometry.grid import SdfGrid, dense, narrow_band
from geomflow.geometry.orient import orient
from geomflow.geometry.surface import SurfaceSamples, sample_surface
from geomflow.metrics.distances import chamfer_floor, match

F_SCORE_TAU = 0.02
"""One per cent of the edge (length 2) of the box [-1, 1]^3."""

BOX_SLACK = 0.1
"""How far a mesh may leave [-1, 1]^3: an extraction padded by one cell does; anything further is a wrong frame."""

LOWER_IS_BETTER = ("chamfer", "hausdorff")
"""Fields of `ReconstructionMetrics` whose worst values are the largest."""

Solid = Callable[[np.ndarray], np.ndarray] | SdfGrid | Shaped[np.ndarray, "_ _ _"]
"""A field (n, 3) -> (n,), a grid, or an array on the nodes of [-1, 1]^3; numbers are negative inside, booleans true."""


class MeasuredShape(NamedTuple):
    """What is needed of one mesh to compare it with others: measure a reference once, compare many.

    Attributes:
        inside: Whether each node (x, y, z) of the grid over [-1, 1]^3 is inside.
        surface: Points and normals drawn uniformly by area.
        area: Surface area.
    """

    inside: Bool[np.ndarray, "x y z"]
    surface: SurfaceSamples
    area: float


@dataclass(frozen=True)
class ReconstructionMetrics:
    """One mesh against its reference.

    Attributes:
        iou: Volumetric intersection over union of the insides, 0 to 1.
        chamfer: Mean unsquared nearest distances of the samples, both ways summed, in units of the box [-1, 1]^3.
        f_score: F-score of the samples at `tau`, 0 to 1.
        normal_consistency: Mean |cosine| of nearest samples' normals, 0 to 1.
        hausdorff: Largest nearest distance of the samples, in units of the box.
        chamfer_floor: sqrt(A / n): the chamfer that a second sample of the reference itself would have.
    """

    iou: float
    chamfer: float
    f_score: float
    normal_consistency: float
    hausdorff: float
    chamfer_floor: float


@dataclass(frozen=True)
class Summary:
    """Mean, median, and mean of the worst tenth of one number over many shapes.

    Attributes:
        mean: Mean over the shapes.
        median: Median over the shapes.
        worst_tenth: Mean over the worst tenth of the shapes.
    """

    mean: float
    median: float
    worst_tenth: float


def volumetric_iou(a: Solid, b: Solid, resolution: int = 128) -> float:
    """Return intersection over union of two solids, counted at the nodes of a grid over [-1, 1]^3.

    Nodes at the surface count half a cell of error either way: the result of two solids of volume V and area A is known
    to a small part of A * spacing / V.

    Args:
        a: A solid.
        b: A solid.
        resolution: Samples per axis at which fields are evaluated; arrays and grids must have it already if the other
            solid is a field, and else only agree with each other.

    Raises:
        ValueError: The grids differ, a grid is not over [-1, 1]^3, or both solids are empty.
        TypeError: An array is neither boolean nor of floats.
    """
    one, two = inside_mask(a, resolution), inside_mask(b, resolution)
    if one.shape != two.shape:
        raise ValueError(f"a and b must be on the same grid, given {one.shape} and {two.shape}")
    union = np.count_nonzero(one | two)
    if not union:
        raise ValueError("IoU wants at least one solid with a node inside, given two empty ones")
    return float(np.count_nonzero(one & two) / union)


def sampled_iou(a: SignedDistanceField, b: SignedDistanceField, count: int = 200_000, seed: int = 0) -> float:
    """Return intersection over union of two solids counted at uniform random points of their common bounding box.

    For meshes anywhere, where `volumetric_iou` wants the box [-1, 1]^3; known to about 1 / sqrt(points inside).

    Args:
        a: Field of a mesh.
        b: Field of a mesh in the same frame.
        count: Points.
        seed: Seed of the points.

    Raises:
        ValueError: No point is inside either.
    """
    low, high = np.minimum(a.bounds[0], b.bounds[0]), np.maximum(a.bounds[1], b.bounds[1])
    return _iou_at(np.random.default_rng(seed).uniform(low, high, (count, 3)), a, b)


def near_surface_iou(
    a: SignedDistanceField, b: SignedDistanceField, sigma: float = F_SCORE_TAU, count: int = 100_000, seed: int = 0
) -> float:
    """Return intersection over union of two solids counted at points scattered about both of their surfaces.

    Volumetric IoU forgives thick shapes: a wrong skin of a sphere hardly counts. Here half of the points lie about each
    surface, moved off it by normally distributed offsets along x, y and z. Insides are told by winding numbers.

    Args:
        a: Field of a mesh.
        b: Field of a mesh in the same frame.
        sigma: Standard deviation of the offsets in the meshes' unit; the scale on which differences are seen.
        count: Points.
        seed: Seed of the points.

    Raises:
        ValueError: `sigma` is not positive, or no point is inside either.
    """
    if not sigma > 0:
        raise ValueError(f"sigma must be a positive length, not {sigma}")
    seeds = np.random.SeedSequence(seed).generate_state(3)
    half = -(-count // 2)
    on = [sample_surface(f.boundary(), half, int(s)).points for f, s in zip((a, b), seeds[:2], strict=True)]
    offsets = np.random.default_rng(seeds[2]).normal(0, sigma, (2 * half, 3))
    return _iou_at(np.concatenate(on) + offsets, a, b)


def _iou_at(points: np.ndarray, a: SignedDistanceField, b: SignedDistanceField) -> float:
    one, other = (field(points).distance < 0 for field in (a, b))
    union = np.count_nonzero(one | other)
    if not union:
        raise ValueError("IoU wants at least one point inside, given two solids without any")
    return float(np.count_nonzero(one & other) / union)


def inside_mask(solid: Solid, resolution: int = 128) -> Bool[np.ndarray, "x y z"]:
    """Return whether each node of the grid over [-1, 1]^3 is inside the solid; the surface itself is outside.

    Fields are evaluated at every node of a `resolution`^3 grid, which stays right where they are no exact distances.

    Args:
        solid: A mesh, a grid over [-1, 1]^3, or a field.
        resolution: Nodes per axis.

    Raises:
        ValueError: A grid is not over [-1, 1]^3, or a field returns another shape or NaN.
        TypeError: An array is neither boolean nor of floats.
    """
    if isinstance(solid, SdfGrid):
        _check_box(solid)
        return solid.values < 0
    if isinstance(solid, np.ndarray):
        return _mask_of_array(solid)
    return dense(solid, resolution).values < 0


def mesh_inside_mask(mesh: trimesh.Trimesh, resolution: int = 128) -> Bool[np.ndarray, "x y z"]:
    """Return whether each node of the grid over [-1, 1]^3 has a negative signed distance to the mesh.

    A closed mesh is evaluated coarse to fine, which is exact: its sign changes nowhere but at the surface. An open mesh
    is evaluated at every node, because across its holes the sign changes far from any surface.

    Args:
        mesh: The mesh.
        resolution: Nodes per axis.

    Raises:
        MeshHasNoFaces: There is no face.
        ValueError: The mesh is further out of [-1, 1]^3 than `BOX_SLACK`: it is in another frame.
    """
    distance = SignedDistanceField(mesh)
    if np.abs(distance.bounds).max() > 1 + BOX_SLACK:
        raise ValueError(f"mesh must lie in [-1, 1]^3, given bounds {distance.bounds.tolist()}: call normalize first")
    oriented = orient(mesh).mesh
    closed = oriented.is_watertight and oriented.is_winding_consistent
    evaluate = narrow_band if closed else dense
    return evaluate(lambda points: distance(points).distance, resolution).values < 0


def measure_shape(mesh: trimesh.Trimesh, resolution: int = 128, count: int = 100_000, seed: int = 0) -> MeasuredShape:
    """Return the inside mask, surface samples and area of a mesh in [-1, 1]^3.

    Samples are drawn from all faces as they are given, buried ones too; to compare outer surfaces only, give
    `SignedDistanceField(mesh).boundary()`.

    Args:
        mesh: Mesh with faces.
        resolution: Samples per axis of the inside mask.
        count: Surface points.
        seed: Seed of the surface points; two shapes to compare want different ones, or equal meshes would share points.

    Raises:
        MeshError: There is no face or no area.
        ValueError: The mesh is not in [-1, 1]^3.
    """
    return MeasuredShape(mesh_inside_mask(mesh, resolution), sample_surface(mesh, count, seed), float(mesh.area))


def compare_shapes(reference: MeasuredShape, shape: MeasuredShape, tau: float = F_SCORE_TAU) -> ReconstructionMetrics:
    """Return the metrics of a measured shape against a measured reference; see `reconstruction_metrics`.

    Args:
        reference: The true shape, measured.
        shape: The shape to judge.
        tau: Distance up to which a point counts as met.

    Raises:
        ValueError: The masks' resolutions differ, both are empty, or tau is not positive.
    """
    pairs = match(reference.surface.points, shape.surface.points)
    return ReconstructionMetrics(
        iou=volumetric_iou(reference.inside, shape.inside),
        chamfer=pairs.chamfer(squared=False),
        f_score=pairs.f_score(tau),
        normal_consistency=pairs.normal_consistency(reference.surface.normals, shape.surface.normals),
        hausdorff=pairs.hausdorff(),
        chamfer_floor=chamfer_floor(reference.area, len(reference.surface.points)),
    )


def reconstruction_metrics(
    reference: trimesh.Trimesh,
    mesh: trimesh.Trimesh,
    resolution: int = 128,
    count: int = 100_000,
    tau: float = F_SCORE_TAU,
    seed: int = 0,
) -> ReconstructionMetrics:
    """Return how well `mesh` reproduces `reference`, both in the box [-1, 1]^3.

    Args:
        reference: The true mesh.
        mesh: Its reconstruction.
        resolution: Samples per axis of the node grid on which the insides are compared.
        count: Surface points of each mesh; drawn independently, so that chamfer does not go under its floor.
        tau: Tolerance of the F-score; by default 0.02, which is 1 % of the box's edge.
        seed: Seed of the reference's points; the reconstruction takes the next one.

    Raises:
        MeshError: A mesh has no face or no area.
        ValueError: A mesh is not in [-1, 1]^3, or tau is not positive.
    """
    return compare_shapes(
        measure_shape(reference, resolution, count, seed), measure_shape(mesh, resolution, count, seed + 1), tau
    )


def summary(values: Iterable[float], higher_is_better: bool = True) -> Summary:
    """Return mean, median and the mean of the worst tenth (rounded up to whole shapes) of one number per shape.

    A shape that failed must be given its worst value, not left out: leaving out failures flatters.

    Args:
        values: One number per shape.
        higher_is_better: Whether the worst values are the smallest.

    Raises:
        ValueError: There is no value, or one is not finite.
    """
    ordered = np.sort(np.fromiter(values, dtype=np.float64))
    if not len(ordered) or not np.isfinite(ordered).all():
        raise ValueError(f"values must be finite numbers, at least one, given {ordered.tolist()[:5]}")
    worst_first = ordered if higher_is_better else ordered[::-1]
    worst = worst_first[: int(np.ceil(len(ordered) / 10))]
    return Summary(float(ordered.mean()), float(np.median(ordered)), float(worst.mean()))


def summaries(metrics: Iterable[ReconstructionMetrics]) -> dict[str, Summary]:
    """Return the `summary` of every field of `ReconstructionMetrics` over many shapes.

    Args:
        metrics: The metrics of each shape.

    Raises:
        ValueError: There are no metrics, or one is not finite.
    """
    rows = [asdict(one) for one in metrics]
    names = [field.name for field in fields(ReconstructionMetrics)]
    return {name: summary((row[name] for row in rows), name not in LOWER_IS_BETTER) for name in names}


def _check_box(grid: SdfGrid) -> None:
    if not (np.allclose(grid.lower, -1) and np.allclose(grid.upper, 1)):
        raise ValueError(f"grid must span [-1, 1]^3, given {grid.lower.tolist()} to {grid.upper.tolist()}")


def _mask_of_array(values: Shaped[np.ndarray, "..."]) -> np.ndarray:
    if values.dtype == bool:
        return values
    if not np.issubdtype(values.dtype, np.floating):
        raise TypeError(f"a solid given as an array must be boolean or float, given {values.dtype}")
    return values < 0
