"""Rewards of exact solids against closed forms, and their gradients against differences."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from geomflow import shelves
from geomflow.errors import ConfigError, RecordError
from geomflow.geometry.primitives import Assembly, Box, Moved, Solid, Sphere, Torus, Turned
from geomflow.prep.manifest import Entry, appending
from geomflow.records import RecordHeader, ShapeRecord, load_record, save_record
from geomflow.rewards._grid import SOFTNESS, center_of_mass, floor, surface
from geomflow.storage import open_folder

N = 32
SPACING = 2 / (N - 1)
WIDTH = SOFTNESS * SPACING


def moved(solid: Solid, x: float, y: float, z: float = 0.0) -> Moved:
    return Moved(solid, (float(x), float(y), float(z)))


FEET = [moved(Box((0.1, 0.5, 0.1)), x, -0.15, z) for x in (-0.4, 0.4) for z in (-0.3, 0.3)]
TABLE = Assembly((moved(Box((0.6, 0.1, 0.5)), 0, 0.4), *FEET))
LETTER_T = Assembly((moved(Box((0.15, 0.5, 0.3)), 0, -0.3), moved(Box((0.6, 0.2, 0.3)), 0, 0.35)))
FLAG = Assembly((moved(Box((0.1, 0.6, 0.1)), 0, -0.2), moved(Box((0.3, 0.3, 0.3)), 0.38, 0.5)))
SLAB = Box((0.8, 0.1, 0.7))


def grid(*solids: Solid, n: int = N) -> Tensor:
    """Distances at the nodes."""
    x = np.linspace(-1, 1, n)
    nodes = np.stack(np.meshgrid(x, x, x, indexing="ij"), -1).reshape(-1, 3)
    return torch.from_numpy(np.stack([solid(nodes).reshape(n, n, n) for solid in solids]))


def reward(name: str, *solids: Solid, n: int = N, **options) -> list[float]:
    return shelves.load("rewards", name, **options)(grid(*solids, n=n)).tolist()


def test_the_volume_of_a_soft_ball_is_that_of_a_ball_and_a_known_bit_more():
    """The integral of r^2 / (1 + exp((r - R) / w)) is R^3 / 3 + pi^2 w^2 R / 3 (Sommerfeld)."""
    radius = 0.7
    wanted = 4 / 3 * math.pi * radius**3 * (1 + (math.pi * WIDTH / radius) ** 2)
    found = reward("volume", Sphere(radius), Box((0.5, 0.6, 0.4)))
    assert found == pytest.approx([wanted, 0.96], rel=0.01)
    assert reward("volume", Sphere(radius), target=1.0) == pytest.approx([-(found[0] - 1)])


def test_centre_of_mass_and_floor():
    flag, other = grid(FLAG, moved(Box((0.3, 0.2, 0.4)), 0.25, -0.3, 0.1))[:, None]
    torch.testing.assert_close(center_of_mass(other), torch.tensor([[0.25, -0.3, 0.1]]).double(), atol=0.004, rtol=0)
    assert float(floor(other)) == pytest.approx(-0.5, abs=0.02)
    assert float(floor(flag)) == pytest.approx(-0.8, abs=0.02)


def test_what_stands_has_the_margin_of_its_feet():
    box, table, flag = reward("stands_up", Box((0.5, 0.6, 0.3)), TABLE, FLAG)
    assert box == pytest.approx(0.3, abs=0.01)
    assert table == pytest.approx(0.4, abs=0.01)  # the feet's, not the top's
    stem, cube, both = 0.2 * 0.2 * 1.2, 0.6**3, 0.02 * 0.2 * 0.2  # the last is in the first two, at x = 0.09
    centre = (0.38 * cube - 0.09 * both) / (stem + cube - both)
    assert flag == pytest.approx(0.1 - centre, abs=0.015)
    shifted = reward("stands_up", moved(TABLE, 0.2, 0.1, -0.1))[0]
    assert shifted == pytest.approx(table, abs=0.02)


def test_a_tilted_cube_falls_by_the_lever_of_its_edge():
    """About its edge, at 45 degrees less the tilt; what is lower than a spacing counts as touching."""
    angle = math.radians(20)
    lever = 0.5 * math.sqrt(2) * math.sin(math.pi / 4 - angle)
    found = []
    for n in (32, 96):
        margin = reward("stands_up", Turned(Box((0.5, 0.5, 0.5)), (0.0, 0.0, angle)), n=n)[0]
        found.append(-margin)
        assert lever - 2.5 * (2 / (n - 1)) / math.tan(angle) < -margin < lever + 0.01
    assert found[0] < found[1]


def test_symmetry_is_the_intersection_over_union_with_the_mirror_image():
    still, off = reward("symmetry", TABLE, moved(Box((0.5, 0.3, 0.4)), 0.2, 0, 0))
    assert still == pytest.approx(1)
    assert off == pytest.approx((1 - 0.4) / (1 + 0.4), abs=0.01)
    assert reward("symmetry", moved(Box((0.5, 0.3, 0.4)), 0.2, 0, 0), axis="z") == pytest.approx([1])


def test_regions_count_the_material_in_and_outside_of_them():
    low, high = (0.1, -0.2, -0.9), (0.9, 0.5, 0.9)
    solid = Box((0.5, 0.4, 0.3))
    inside = (0.5 - 0.1) * (0.4 + 0.2) * 0.6
    assert reward("keep_out", solid, low=low, high=high) == pytest.approx([-inside], rel=0.03)
    assert reward("keep_in", solid, low=low, high=high) == pytest.approx([-(0.48 - inside)], rel=0.03)


def test_the_area_of_a_box_is_its_area_and_that_of_a_ball_nearly():
    area = surface(grid(Box((0.5, 0.6, 0.4)), Sphere(0.7), n=64))[0].sum((1, 2, 3)) * (2 / 63) ** 3
    assert area.tolist() == pytest.approx([8 * (0.3 + 0.24 + 0.2), 4 * math.pi * 0.49], rel=0.03)


def test_overhangs_are_what_looks_down_and_does_not_rest():
    letter, box = reward("overhang", LETTER_T, Box((0.5, 0.6, 0.4)), n=64)
    assert letter == pytest.approx(-2 * 0.45 * 0.6, rel=0.06)
    assert box == pytest.approx(0, abs=0.02)
    radius, n = 0.7, 48
    resting = 1.5 * 2 / (n - 1)
    for angle in (45, 60):
        zone = 2 * math.pi * radius * (radius * (1 - math.cos(math.radians(angle))) - resting)
        assert reward("overhang", Sphere(radius), n=n, angle=float(angle))[0] == pytest.approx(-zone, rel=0.12)


def test_the_faces_of_a_slab_are_as_thick_as_it_is_and_its_rim_is_thicker():
    assert reward("thickness", SLAB, Sphere(0.7), least=0.15) == pytest.approx([1, 1], abs=0.08)  # but at the edges
    faces, rim = 2 * 1.6 * 1.4, 2 * (1.6 + 1.4) * 0.2
    assert reward("thickness", SLAB, least=0.3)[0] == pytest.approx(rim / (rim + faces), abs=0.05)
    assert reward("thickness", Sphere(0.3), least=0.7)[0] == pytest.approx(0, abs=0.02)
    shell = moved(SLAB, 0, 0.3, 0), moved(SLAB, 0, -0.1, 0)  # behind the gap is material again
    assert reward("thickness", Assembly(shell), least=0.45)[0] < 0.3


def test_a_box_as_large_as_asked():
    size = (1.0, 1.2, 0.8)
    assert reward("bounding_box", Box((0.5, 0.6, 0.4)), size=size) == pytest.approx([0], abs=0.01)
    assert reward("bounding_box", Box((0.5, 0.75, 0.4)), size=size) == pytest.approx([-0.1], abs=0.01)


def test_scans_and_sparse_distances(tmp_path):
    directions = np.random.default_rng(0).normal(size=(200, 3))
    points = 0.55 * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    assert reward("partial_scan", Sphere(0.7), Sphere(0.55), points=points) == pytest.approx([-0.15, 0], abs=4e-3)
    np.save(tmp_path / "scan.npy", points)
    assert reward("partial_scan", Sphere(0.7), points=str(tmp_path / "scan.npy")) == pytest.approx([-0.15], abs=4e-3)
    values = Box((0.3, 0.3, 0.3))(points)
    wrong = 0.05 * np.where(np.arange(200) % 2, 1, -1)
    assert reward("sparse_sdf", Box((0.3, 0.3, 0.3)), points=points, values=values)[0] == pytest.approx(0, abs=8e-3)
    found = reward("sparse_sdf", Box((0.3, 0.3, 0.3)), points=points, values=values + wrong)
    assert found == pytest.approx([-0.05], abs=4e-3)


def test_the_example_of_a_reward_of_ones_own_is_printed_whole_and_finds_armrests():
    """In a cube of half edge 0.9 the nearest face to where armrests would be is the one at their side."""
    root = Path(__file__).resolve().parents[2]
    printed = re.search(r"```python\n(def make.*?)```", (root / "docs/rewards.md").read_text(), re.DOTALL)
    assert printed is not None
    assert (root / "docs/examples/armrests.py").read_text().endswith(printed[1])
    cube, bench = Box((0.9, 0.9, 0.9)), Box((0.9, 0.1, 0.9))
    assert reward("docs.examples.armrests", cube, height=0.1) == pytest.approx([0.9 - 17 / 31])
    found = reward("docs.examples.armrests", bench)  # at the height 0.2, whose nearest nodes are 18 to 20
    assert found == pytest.approx([0.1 - (19 * 2 / 31 - 1)], abs=1e-6)


@pytest.fixture(scope="module")
def classes(tmp_path_factory) -> Path:
    """A dataset of balls, a box and a ring, of which only the grids are there, and one without grids."""
    solids = [("ball", Sphere(0.9)), ("ball", Sphere(0.95)), ("box", Box((0.68, 0.8, 0.95))), ("ring", Torus())]
    folder, nothing = tmp_path_factory.mktemp("classes"), np.zeros((0, 3), np.float32)
    empty = dict.fromkeys(("surface_points", "surface_normals", "vol_points", "near_points", "vertices"), nothing)
    empty |= {f"{where}_{what}": nothing[:, 0] for where in ("vol", "near") for what in ("sdf", "confidence")}
    empty |= {"faces": nothing.astype(int), "shifts": np.zeros(3, np.float32), "scale": np.ones(1, np.float32)}
    for place in ("set", "bare"):
        (folder / place).mkdir()
        with appending(open_folder(folder / place)) as append:
            for i, (name, solid) in enumerate(solids):
                values = grid(solid, n=16)[0].numpy().astype(np.float32) if place == "set" else None
                record = ShapeRecord(RecordHeader(str(i), "", "", name), **empty, sdf_grid=values)
                save_record(record, folder / place / f"{i}.safetensors")
                append(Entry(str(i), "done", name, "train", "", file=f"{i}.safetensors"))
    return folder


def test_a_shape_has_the_class_of_the_shapes_it_is_like(classes):
    data = str(classes / "set")
    sdf = grid(Sphere(0.95), Box((0.68, 0.82, 0.95))).float()
    chances = torch.stack(
        [shelves.load("rewards", "class_score", data=data, category=n)(sdf) for n in ("ball", "box", "ring")]
    )
    torch.testing.assert_close(chances.exp().sum(0), torch.ones(2))
    assert chances.argmax(0).tolist() == [0, 1]
    with pytest.raises(ConfigError, match=r"unknown class 'cube': .* has ball, box, ring"):
        shelves.load("rewards", "class_score", data=data, category="cube")
    with pytest.raises(RecordError, match="has no sdf_grid"):
        shelves.load("rewards", "class_score", data=str(classes / "bare"), category="box")


def test_only_the_first_shapes_of_each_class_are_read(classes, monkeypatch):
    read = []

    def noted(file: Path, names: tuple[str, ...]) -> ShapeRecord:
        read.append(file.stem)
        return load_record(file, names)

    monkeypatch.setattr("geomflow.rewards.class_score.load_record", noted)
    shelves.load("rewards", "class_score", data=str(classes / "set"), category="box", most=1)
    assert read == ["0", "2", "3"]


OPTIONS = {
    "volume": {},
    "stands_up": {},
    "symmetry": {},
    "keep_out": {"low": (0.0, -1.0, -1.0), "high": (1.0, 1.0, 1.0)},
    "keep_in": {"low": (0.0, -1.0, -1.0), "high": (1.0, 1.0, 1.0)},
    "overhang": {},
    "thickness": {"least": 0.35},
    "bounding_box": {"size": (1.0, 1.0, 1.0)},
    "partial_scan": {"points": [[0.4, 0.3, 0.2], [0.0, 0.7, 0.0]]},
    "sparse_sdf": {"points": [[0.4, 0.3, 0.2]], "values": [0.3]},
    "class_score": {"category": "box", "temperature": 0.5},
}


def test_every_reward_is_tried():
    assert set(OPTIONS) == set(shelves.names("rewards"))


@pytest.mark.parametrize("name", OPTIONS)
def test_gradients_are_the_rate_at_which_rewards_change(name, classes):
    """Along a smooth change of an asymmetric body that leans and hangs over; each row minds itself alone."""
    options = OPTIONS[name] | ({"data": str(classes / "set")} if name == "class_score" else {})
    measure = shelves.load("rewards", name, **options)
    body = moved(Turned(Assembly((FLAG, Box((0.2, 0.1, 0.5)))), (0.1, 0.2, 0.3)), -0.05, 0.03, 0.02)
    sdf = grid(body, LETTER_T).requires_grad_()
    change = 0.02 * torch.sin(3 * grid(moved(Sphere(0.5), 0.3, 0.2, 0.1), Sphere(0.4)))
    value = measure(sdf)
    assert value.shape == (2,)
    (gradient,) = torch.autograd.grad(value[0], sdf)
    assert gradient.isfinite().all()
    assert gradient[0].any()
    assert not gradient[1].any()
    h = 1e-4
    with torch.no_grad():
        rate = (measure(sdf + h * change) - measure(sdf - h * change))[0] / (2 * h)
    assert float((gradient * change).sum()) == pytest.approx(float(rate), rel=0.02, abs=1e-5)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("weight", {}, "unknown reward 'weight': the rewards are bounding_box, class_score, keep_in"),
        ("volume", {"wanted": 1.0}, "reward 'volume' has no option 'wanted': its options are target"),
        ("keep_out", {}, "reward 'keep_out' needs the option 'low'"),
        ("keep_out", {"low": (0, 0, 0), "high": (1, 1, 0)}, "low and high must be three numbers each, low under high"),
        ("symmetry", {"axis": "w"}, "axis must be one of x, y, z, given 'w'"),
        ("keep_in", {"low": (0, 0, 0), "high": (1, 1, math.nan)}, "low and high must be three numbers each"),
        ("keep_in", {"low": 0, "high": (1, 1, 1)}, r"low must be Sequence\[float\], given 0"),
        ("symmetry", {"axis": 1}, "reward 'symmetry': axis must be str, given 1"),
        ("bounding_box", {"size": (1, 1)}, "size must be three positive, finite numbers"),
        ("bounding_box", {"size": (1, 1, math.inf)}, r"size must be three .*, given \(1, 1, inf\)"),
        ("bounding_box", {"size": "large"}, r"size must be Sequence\[float\], given 'large'"),
        ("thickness", {"least": 0.0}, "least must be positive and finite, given 0.0"),
        ("thickness", {"least": math.inf}, "least must be positive and finite, given inf"),
        ("overhang", {"angle": "abc"}, "reward 'overhang': angle must be float, given 'abc'"),
        ("overhang", {"angle": -1.0}, "angle must be from 0 to 90 degrees, given -1.0"),
        ("overhang", {"angle": 91}, "angle must be from 0 to 90 degrees, given 91"),
        ("overhang", {"angle": math.nan}, "angle must be from 0 to 90 degrees, given nan"),
        ("stands_up", {"touch": 0.5}, "touch must be at least 1 spacing and finite, given 0.5"),
        ("volume", {"target": -1}, "target must be from 0 to 8, the volume of the frame, given -1"),
        ("volume", {"target": math.nan}, "target must be from 0 to 8, the volume of the frame, given nan"),
        ("class_score", {"data": "", "category": "box", "temperature": 0.0}, "temperature positive and finite, given"),
        ("class_score", {"data": "", "category": "box", "most": 0}, "most must be at least 1, .*, given 0 and 0.02"),
        ("partial_scan", {"points": [[0, 1, 0], [1]]}, "points must be numbers in lists of equal lengths, given"),
        (
            "partial_scan",
            {"points": [[0.0, 1.0]]},
            r"points must be finite and of shape \(m, 3\), given shape \(1, 2\)",
        ),
        (
            "partial_scan",
            {"points": [[0.0, 1.0, 0.5], [0.0, 150.0, -3.0]]},
            r"points must lie in \[-1, 1\]\^3, .*, given some from \[0.0, 1.0, -3.0\] to \[0.0, 150.0, 0.5\]",
        ),
        ("sparse_sdf", {"points": [[0, -1.01, 0]], "values": [0]}, r"points must lie in \[-1, 1\]\^3"),
        ("sparse_sdf", {"points": [[0, 0, 0]], "values": [1, 2]}, "values must be 1 finite distances"),
        ("sparse_sdf", {"points": [[0, 0, 0]], "values": "a.npy"}, "values must be numbers in lists of equal lengths"),
    ],
)
def test_wrong_options_are_named(name, options, message, unchecked_shapes):
    with pytest.raises(ConfigError, match=message):
        shelves.load("rewards", name, **options)


def test_a_field_without_a_surface_has_finite_rewards(classes):
    """As the first look-aheads may be."""
    for name, options in OPTIONS.items():
        options = options | ({"data": str(classes / "set")} if name == "class_score" else {})
        sdf = torch.full((2, N, N, N), 0.1).requires_grad_()
        value = shelves.load("rewards", name, **options)(sdf)
        (gradient,) = torch.autograd.grad(value.sum(), sdf)
        assert value.isfinite().all(), name
        assert gradient.isfinite().all(), name
