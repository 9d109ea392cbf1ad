"""Procedural rigs: the same from the same seed, closed, with joints inside that all move something near them."""

import csv
import functools
import hashlib
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from data_prep.procedural_rigs import FAMILIES, main, make, plan, preview, rig
from data_prep.skeletons import _body
from data_prep.skeletons._creature import Creature, Part, Pose, mirrored, standing
from geomflow.errors import ConfigError
from geomflow.geometry import SignedDistanceField, distinct_joints, read_rig
from geomflow.geometry.primitives import Box, Capsule
from geomflow.prep.sources import find_sources

SEEDS = range(4)
drawn = functools.cache(rig)


families = pytest.mark.parametrize("family", FAMILIES)


@families
def test_surfaces_are_closed_and_whole_with_every_joint_inside(family: str):
    for seed in SEEDS:
        mesh, skeleton = drawn(family, seed)
        assert mesh.is_watertight
        assert mesh.volume > 0
        assert mesh.body_count == 1, seed
        assert 0.7 < np.abs(mesh.bounds).max() < 1
        assert (SignedDistanceField(mesh)(skeleton.joints).distance < 0).all(), seed


@families
def test_every_joint_moves_something_and_none_coincide(family: str):
    for seed in SEEDS:
        _, skeleton = drawn(family, seed)
        assert skeleton.deforming.all(), seed
        assert len(distinct_joints(skeleton.joints, skeleton.skin_joints, skeleton.skin_weights)) == len(
            skeleton.joints
        )
        assert (skeleton.parents < np.arange(len(skeleton.parents))).all()  # so all lead to the first
        assert (skeleton.parents[1:] >= 0).all()
        assert len(set(skeleton.names)) == len(skeleton.names)


@families
def test_weights_are_shares_of_neighbours_that_fall_off_smoothly(family: str):
    mesh, skeleton = drawn(family, 0)
    weights = skeleton.skin_weights
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    assert (np.diff(weights, axis=1) <= 0).all()
    full = np.zeros((len(weights), len(skeleton.joints)))
    np.add.at(full, (np.arange(len(weights))[:, None], skeleton.skin_joints), weights)
    jump = np.abs(full[mesh.edges_unique[:, 0]] - full[mesh.edges_unique[:, 1]]).max(axis=1)
    assert np.quantile(jump, 0.99) < 0.35  # over an edge of a hundredth of the body
    assert (weights[:, 1] > 0.05).mean() > 0.1


def test_a_rig_depends_on_its_family_and_seed_alone():
    found = [rig("crawler", seed, 32)[1].joints for seed in range(4)]
    np.testing.assert_array_equal(rig("crawler", 2, 32)[1].joints, found[2])
    assert len({joints.tobytes() for joints in found}) == 4


def test_bipeds_stand_on_two_feet_with_the_head_on_top_and_left_at_plus_x():
    for seed in range(6):
        names, joints = (skeleton := rig("biped", seed, 32)[1]).names, skeleton.joints
        place = dict(zip(names, joints, strict=True))
        assert place["Neck"][1] > place["Hips"][1] > max(place["Foot.L"][1], place["Foot.R"][1])
        assert place["Hips"][1] < place["Head"][1]
        assert place["UpperArm.L"][0] > place["UpperArm.R"][0]
        assert place["UpperLeg.L"][0] > place["UpperLeg.R"][0]


def test_a_round_part_is_a_capsule_and_a_square_one_a_box():
    turn = Rotation.from_rotvec([0.3, -0.5, 0.9]).as_matrix()
    pose = Pose(np.array([0.1, -0.2, 0.3]), turn)
    points = np.random.default_rng(0).uniform(-1, 1, (500, 3))
    middle = pose.moved(y=0.3).place
    along_z = ((points - middle) @ turn)[:, [0, 2, 1]]
    found = _body.distances([Part(0, pose, 0.6, (0.2, 0.2)), Part(0, pose, 0.6, (0.15, 0.15), square=True)], points)
    np.testing.assert_allclose(found[:, 0], Capsule(0.3, 0.2)(along_z), atol=1e-12)
    box = Box((0.15, 0.15, 0.35))(along_z)
    outside = box > 0
    assert (np.abs(found[outside, 1] - box[outside]) < 0.0375 * (np.sqrt(3) - 1)).all()  # but for the rounding


def test_a_cone_is_the_hull_of_its_balls():
    part = Part(0, standing(0), 0.7, (0.25, 0.1))
    points = np.random.default_rng(1).uniform(-1, 1, (300, 3))
    share = np.linspace(0, 1, 4001)
    radius, middle = 0.25 - 0.15 * share, np.stack([0 * share, 0.7 * share, 0 * share], axis=1)
    balls = np.linalg.norm(points[:, None] - middle, axis=2) - radius
    np.testing.assert_allclose(_body.distances([part], points)[:, 0], balls.min(axis=1), atol=1e-6)
    within = Part(0, standing(0), 0.1, (0.3, 0.1))
    np.testing.assert_allclose(_body.distances([within], points)[:, 0], np.linalg.norm(points, axis=1) - 0.3)


def test_a_flat_part_ends_where_its_width_and_depth_say():
    part = Part(0, standing(0), 0.6, (0.2, 0.2), wide=2.0, deep=0.25)
    edge = np.array([[0.4, 0.3, 0], [-0.4, 0.1, 0], [0, 0.3, 0.05], [0, 0.8, 0]])
    np.testing.assert_allclose(_body.distances([part], edge)[:, 0], 0, atol=1e-12)
    np.testing.assert_allclose(_body.distances([part], edge[:3] * [1.5, 1, 1.5])[:, 0], [0.2, 0.2, 0.025])


def test_a_turtle_walks_bones_by_their_bends():
    creature = Creature(blend=0.01)
    last, end = creature.chain("Arm", -1, standing(1), [1, 2], (0.1, 0.1, 0.1), [(90, 0, 0), (0, 0, 90)])
    np.testing.assert_allclose(creature.joints, [[0, 1, 0], [0, 1, 1]], atol=1e-12)
    np.testing.assert_allclose(end.place, [-2, 1, 1], atol=1e-12)
    assert (last, creature.names, creature.parents) == (1, ["Arm1", "Arm2"], [-1, 0])
    left, right = (standing(0).turned(*mirrored((20, 30, 40), side)).moved(y=1).place for side in (1, -1))
    np.testing.assert_allclose(left * [-1, 1, 1], right, atol=1e-12)


def test_equal_seeds_give_equal_files_and_the_table_says_what_prep_needs(tmp_path: Path):
    make(plan(["serpent"], 2, 8), tmp_path / "one")
    make(plan(["serpent"], 1, 9), tmp_path / "late")
    late = Path("serpent", "test", "serpent-000009.npz")
    assert (tmp_path / "late" / late).read_bytes() == (tmp_path / "one" / late).read_bytes()
    table = tmp_path / "one" / "procedural_rigs.csv"
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["class"], row["split"], row["license"]) for row in rows] == [
        ("serpent", "train", "CC0-1.0"),
        ("serpent", "test", "CC0-1.0"),
    ]
    for row, source in zip(rows, find_sources(table), strict=True):
        assert (source.id, source.split) == (row["id"], row["split"])
        assert hashlib.sha256(Path(source.path).read_bytes()).hexdigest() == row["sha256"]
    (mesh, read), (made, skeleton) = read_rig(Path(source.path)), rig("serpent", 9)
    np.testing.assert_allclose(mesh.triangles, made.triangles, atol=1e-6)
    np.testing.assert_allclose(read.joints, skeleton.joints, atol=1e-6)
    np.testing.assert_allclose(read.skin_weights, skeleton.skin_weights, atol=2e-3)
    assert (read.parents.tolist(), read.names) == (skeleton.parents.tolist(), skeleton.names)


def test_a_dry_run_counts_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture):
    main(["--families", "fish", "robot", "--count", "20", "--out", str(tmp_path / "made"), "--dry-run"])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    expected = [["fish", "test", "2"], ["fish", "train", "18"], ["robot", "test", "2"], ["robot", "train", "18"]]
    assert lines[:4] == expected
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--families", "tree"],
            "unknown family tree: the families are biped, crawler, fish, quadruped, robot, serpent",
        ),
        (["--count", "0"], "count must be at least 1 and seed not negative, given 0 and 0"),
        (["--seed", "-3"], "seed not negative, given 60 and -3"),
    ],
)
def test_bad_options_end_with_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture):
    with pytest.raises(SystemExit):
        main([*arguments, "--dry-run"])
    assert message in capsys.readouterr().err


def test_bad_seeds_and_families_are_named():
    with pytest.raises(ConfigError, match="unknown family tree"):
        rig("tree", 0)
    with pytest.raises(ConfigError, match="seed not negative, given 1 and -1"):
        rig("fish", -1)
    with pytest.raises(ConfigError, match="count must be at least 1"):
        preview(["fish"], -1, Path("never.png"))
