"""Procedural shapes: the same from the same seed, upright, whole, symmetric, and true to their meshes."""

import csv
import hashlib
from pathlib import Path

import numpy as np
import pytest

from data_prep.procedural import FAMILIES, main, make, plan, preview, shape
from geomflow.errors import ConfigError
from geomflow.geometry import SignedDistanceField, read_surface, sample_surface
from geomflow.geometry.primitives import Assembly
from geomflow.prep.sources import find_sources

SEEDS = range(5)
FACETED = 1.2e-3
"""How far meshes are from their solids in the unit frame: circles have 64 corners, and radius 0.95 at most."""

families = pytest.mark.parametrize("family", FAMILIES)


def parts(solid: Assembly) -> list:
    """The parts that a family drew, in its own frame."""
    return list(solid.parts[0].solid.solid.parts)


def near(mesh, count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return sample_surface(mesh, count, seed).points + rng.normal(0, 0.02, (count, 3))


@families
def test_meshes_fit_the_unit_frame_and_their_parts_are_closed(family):
    for seed in SEEDS:
        mesh = shape(family, seed).mesh()
        assert np.abs(mesh.bounds).max() == pytest.approx(0.95, abs=1e-9)
        np.testing.assert_allclose(mesh.bounds.sum(axis=0), 0, atol=1e-9)
        assert mesh.is_watertight
        assert mesh.is_winding_consistent


@families
def test_signs_and_outer_distances_of_the_mesh_are_those_of_the_solid(family):
    for seed in SEEDS:
        solid = shape(family, seed)
        mesh = solid.mesh()
        points = np.vstack([np.random.default_rng(seed).uniform(-1, 1, (150, 3)), near(mesh, 250, seed)])
        exact, found = solid(points), SignedDistanceField(mesh)(points).distance
        clear = np.abs(exact) > FACETED
        assert (np.sign(found) == np.sign(exact))[clear].all()
        assert (exact[clear] < 0).any()
        np.testing.assert_allclose(found[exact > FACETED], exact[exact > FACETED], atol=FACETED)


@families
def test_shapes_are_their_own_mirror_image(family):
    for seed in SEEDS:
        solid = shape(family, seed)
        points = np.random.default_rng(seed).uniform(-1, 1, (200, 3))
        np.testing.assert_allclose(solid(points * [-1, 1, 1]), solid(points), atol=1e-9)


def some_spots(mesh) -> np.ndarray:
    """A few hundred of its vertices, and places between them."""
    return np.vstack([mesh.vertices[:: len(mesh.vertices) // 200 + 1], sample_surface(mesh, 200, 0).points])


@families
def test_no_part_floats_and_none_merely_touches(family):
    for seed in SEEDS:
        pieces = parts(shape(family, seed))
        spots = [some_spots(piece.mesh()) for piece in pieces]
        ends = np.cumsum([len(of_one) for of_one in spots])[:-1]
        depth = np.array([[d.min() for d in np.split(piece(np.vstack(spots)), ends)] for piece in pieces])
        joined = (depth < -1e-4) | (depth.T < -1e-4) | np.eye(len(pieces), dtype=bool)
        assert (np.linalg.matrix_power(joined.astype(float), len(pieces))[0] > 0).all(), seed


def inside_share(solid: Assembly, low: float, high: float) -> float:
    """Share of the solid in a layer of its height, from 0 at its lowest point to 1 at its highest."""
    points = np.random.default_rng(0).uniform(-1, 1, (4000, 3))
    floor, top = solid.mesh().bounds[:, 1]
    points[:, 1] = floor + (top - floor) * np.random.default_rng(1).uniform(low, high, 4000)
    return float((solid(points) < 0).mean())


def on_axis(solid: Assembly, height: float) -> float:
    floor, top = solid.mesh().bounds[:, 1]
    return float(solid(np.array([[0.0, floor + height * (top - floor), 0.0]]))[0])


def test_tables_have_their_board_on_top():
    for seed in SEEDS:
        solid = shape("table", seed)
        assert inside_share(solid, 0.98, 1.0) > 2 * inside_share(solid, 0.3, 0.7)


def test_chairs_have_a_back_that_stands_over_the_rear_of_the_seat():
    for seed in SEEDS:
        mesh = shape("chair", seed).mesh()
        height = (mesh.vertices[:, 1] - mesh.bounds[0, 1]) / np.ptp(mesh.bounds[:, 1])
        assert (mesh.vertices[height > 0.85, 2] < 0).all()
        assert mesh.vertices[height < 0.4, 2].max() > 0


def test_vases_are_closed_below_open_above_and_hollow():
    for seed in SEEDS:
        solid = shape("vase", seed)
        assert on_axis(solid, 0.002) < 0
        assert all(on_axis(solid, height) > 0 for height in (0.8, 0.9, 0.999))


def test_lamps_stand_on_a_foot_and_their_shades_are_open():
    assert all(on_axis(shape("lamp", seed), 0.999) > 0 for seed in SEEDS)
    on_a_foot = sum(on_axis(shape("lamp", seed), 0.004) < 0 for seed in SEEDS)
    assert on_a_foot > 0.7 * len(SEEDS)  # all but those on three legs


def test_airplanes_point_to_z_and_their_fins_point_up():
    for seed in SEEDS:
        drawn = Assembly(tuple(parts(shape("airplane", seed)))).mesh()
        rear = drawn.vertices[drawn.vertices[:, 2] < -3.9]
        assert rear[:, 1].max() > 1.5 * -rear[:, 1].min()
        assert np.ptp(drawn.bounds[:, 0]) > 5


@families
def test_a_shape_depends_on_its_family_and_seed_alone(family):
    points = np.random.default_rng(0).uniform(-1, 1, (200, 3))
    distances = [shape(family, seed)(points) for seed in range(6)]
    np.testing.assert_array_equal(shape(family, 3)(points), distances[3])
    assert all(np.abs(a - b).max() > 1e-3 for k, a in enumerate(distances) for b in distances[:k])


def test_equal_seeds_give_equal_files_and_a_later_start_gives_the_same_shapes(tmp_path: Path):
    for name, count, seed in (("one", 12, 0), ("two", 12, 0), ("late", 4, 8)):
        make(plan(["lamp", "vase"], count, seed), tmp_path / name)
    files = {path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.*")}
    assert len(files) == 25
    assert all((tmp_path / "two" / file).read_bytes() == (tmp_path / "one" / file).read_bytes() for file in files)
    for file in (tmp_path / "late").rglob("*.ply"):
        assert file.read_bytes() == (tmp_path / "one" / file.relative_to(tmp_path / "late")).read_bytes()


def test_the_table_says_what_prep_needs(tmp_path: Path, capsys: pytest.CaptureFixture):
    main(["--families", "vase", "--count", "10", "--out", str(tmp_path / "made")])
    assert f"geomflow prep {tmp_path / 'made' / 'procedural.csv'}" in capsys.readouterr().out
    with (tmp_path / "made" / "procedural.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["split"] for row in rows] == ["train"] * 9 + ["test"]
    for row, source in zip(rows, find_sources(tmp_path / "made" / "procedural.csv"), strict=True):
        assert (row["class"], row["up"], row["yaw"], row["license"]) == ("vase", "y", "0", "CC0-1.0")
        assert (source.id, source.split, source.class_name) == (row["id"], row["split"], "vase")
        assert hashlib.sha256(Path(source.path).read_bytes()).hexdigest() == row["sha256"]
    read, drawn = read_surface(Path(source.path)), shape("vase", 9).mesh()
    np.testing.assert_allclose(read.triangles, drawn.triangles, atol=1e-6)


def test_a_dry_run_counts_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture):
    main(["--families", "chair", "table", "--count", "200", "--out", str(tmp_path / "made"), "--dry-run"])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    expected = [["chair", "test", "20"], ["chair", "train", "180"], ["table", "test", "20"], ["table", "train", "180"]]
    assert lines[:4] == expected
    assert lines[4][:2] == ["dry", "run:"]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--families", "boat"], "unknown family boat: the families are airplane, chair, lamp, table, vase"),
        (["--count", "0"], "count must be at least 1 and seed not negative, given 0 and 0"),
        (["--seed", "-3"], "seed not negative, given 100 and -3"),
    ],
)
def test_bad_options_end_with_one_line(arguments, message, capsys: pytest.CaptureFixture):
    with pytest.raises(SystemExit):
        main([*arguments, "--dry-run"])
    assert message in capsys.readouterr().err


def test_bad_seeds_and_families_are_named():
    with pytest.raises(ConfigError, match="unknown family boat"):
        shape("boat", 0)
    with pytest.raises(ConfigError, match="seed not negative, given 1 and -1"):
        shape("vase", -1)
    with pytest.raises(ConfigError, match="count must be at least 1"):
        preview(["vase"], -1, Path("never.png"))
