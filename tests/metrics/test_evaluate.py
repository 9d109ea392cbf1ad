"""Evaluations from end to end: known sets give known numbers, and what cannot be compared is refused."""

import json

import numpy as np
import pytest
import safetensors.numpy
import trimesh
from PIL import Image

from geomflow.errors import ConfigError, EvaluationError, MeshError
from geomflow.geometry.primitives import Box, Sphere
from geomflow.geometry.surface import sample_surface
from geomflow.metrics import PROTOCOLS, Options, compare, evaluate
from geomflow.metrics.parallel import mapped

FAST = Options(draws=100)
POINTS = 128


def ellipsoids(count: int, seed: int, points: int = POINTS) -> np.ndarray:
    """Random ellipsoids (count, points, 3), twice as long as wide at most, the longest axis along x."""
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(count, points, 3))
    directions /= np.linalg.norm(directions, axis=2, keepdims=True)
    return directions * np.stack([rng.uniform(0.8, 1, count), *rng.uniform(0.3, 0.6, (2, count))], axis=1)[:, None]


@pytest.fixture
def sets(tmp_path):
    """Generated, reference and training sets of one law, as arrays on disk."""
    for name, count, seed in (("generated", 24, 0), ("reference", 24, 1), ("train", 40, 2)):
        np.save(tmp_path / f"{name}.npy", ellipsoids(count, seed))
    return tmp_path


def of_sets(folder, generated="generated", protocol="pointflow", **named):
    return evaluate(
        folder / f"{generated}.npy", folder / "reference.npy", protocol, points=POINTS, **{"options": FAST, **named}
    )


@pytest.mark.parametrize("protocol", ["pointflow", pytest.param("lion-box", marks=pytest.mark.slow)])
def test_sets_of_one_law_are_inside_all_bands(sets, protocol):
    found = of_sets(sets, protocol=protocol, train=sets / "train.npy")
    names = {number.metric for number in found.numbers}
    assert {"1-nna-chamfer", "coverage-emd", "mmd-emd", "jsd", "duplicate-rate"} <= names
    for number in found.numbers:
        if number.null_low is not None and number.metric != "jsd":
            assert number.null_low <= number.value <= number.null_high
    assert [n.metric for n in found.controls["training shapes as generated"]] == [
        n.metric for n in found.numbers if n.null_low is not None
    ]
    assert len(found.shapes) == 24


def test_another_law_is_outside(sets):
    np.save(sets / "flat.npy", ellipsoids(24, 3) * [1, 1, 0.1])
    found = of_sets(sets, "flat", distances=("chamfer",))
    bands = {number.metric: number for number in found.numbers}
    assert bands["1-nna-chamfer"].value > bands["1-nna-chamfer"].null_high
    assert bands["mmd-chamfer"].value > bands["mmd-chamfer"].null_high
    assert bands["jsd"].value > bands["jsd"].null_high


def test_remembered_shapes_are_found(sets):
    """A quarter of the generated shapes are training shapes with other points."""
    training = ellipsoids(40, 2, 4000)
    np.save(sets / "train.npy", training[:, :2000])
    np.save(sets / "mixed.npy", np.concatenate([training[:6, 2000:], ellipsoids(18, 5, 2000)]))
    np.save(sets / "reference.npy", ellipsoids(24, 1, 2000))
    train = sets / "train.npy"
    found = evaluate(
        sets / "mixed.npy", sets / "reference.npy", points=2000, distances=("chamfer",), train=train, options=FAST
    )
    assert [shape["duplicate"] for shape in found.shapes[:6]] == [True] * 6
    assert [shape["nearest_training"] for shape in found.shapes[:6]] == [f"{i:05d}" for i in range(6)]
    others = found["duplicate-rate"] - 0.25
    assert abs(others - 0.75 * found["reference-duplicate-rate"]) < 0.2


def test_a_reference_of_training_shapes_is_refused(sets):
    np.save(sets / "train.npy", np.concatenate([ellipsoids(20, 2), np.load(sets / "reference.npy")[:3]]))
    with pytest.raises(EvaluationError, match=r"3 of the 24 reference shapes of .* are training shapes of .*train.npy"):
        of_sets(sets, train=sets / "train.npy")


def test_the_frame_of_pointflow_is_that_of_the_training_set(sets):
    found = of_sets(sets, train=sets / "train.npy", distances=("chamfer",))
    train = np.load(sets / "train.npy")
    assert found.settings["frame"]["std"] == pytest.approx(train.std())
    np.testing.assert_allclose(found.settings["frame"]["mean"], train.mean(axis=(0, 1)), atol=1e-12)


def test_order_of_shapes_and_points_changes_nothing(sets):
    rng = np.random.default_rng(0)
    shuffled = rng.permutation(np.load(sets / "generated.npy"))
    np.save(sets / "shuffled.npy", shuffled)
    one, other = of_sets(sets), of_sets(sets, "shuffled")
    for a, b in zip(one.numbers, other.numbers, strict=True):
        assert a.value == pytest.approx(b.value, rel=1e-9), a.metric


def test_a_wrong_frame_is_an_error_unless_it_is_asked_for(sets):
    np.save(sets / "large.npy", 10 * ellipsoids(24, 0))
    with pytest.raises(EvaluationError, match="in different frames: spread"):
        of_sets(sets, "large")
    np.save(sets / "turned.npy", ellipsoids(24, 0)[:, :, [2, 0, 1]])
    with pytest.raises(EvaluationError, match="generated shapes seem turned"):
        of_sets(sets, "turned", protocol="lion-box")
    np.save(sets / "train.npy", 10 * ellipsoids(40, 2))
    with pytest.raises(EvaluationError, match="training and reference shapes are in different frames"):
        of_sets(sets, train=sets / "train.npy")
    anyway = of_sets(sets, "large", options=Options(draws=20, any_frame=True), distances=("chamfer",))
    assert anyway["1-nna-chamfer"] > 0.9
    assert anyway.terms["any_frame"] is True


def test_a_run_that_was_measured_before_is_read(sets, tmp_path, monkeypatch):
    options = Options(draws=20, cache=tmp_path / "cache")
    first = of_sets(sets, options=options)
    monkeypatch.setattr("geomflow.metrics.pairwise.mean_nearest", lambda *_: pytest.fail("measured again"))
    monkeypatch.setattr("geomflow.ops.nearest_assignment", lambda *_: pytest.fail("measured again"))
    assert of_sets(sets, options=options).numbers == first.numbers


def test_results_are_written_with_their_terms_and_plain_numbers(sets):
    found = of_sets(sets, distances=("chamfer",))
    found.save(sets / "found.json")
    read = json.loads((sets / "found.json").read_text())
    assert read["protocol"] == "pointflow"
    assert read["results"]["1-nna-chamfer"] == found["1-nna-chamfer"]
    assert read["terms"]["points"] == POINTS
    assert {"seed": 0, "level": 0.95, "draws": 100}.items() <= read["settings"].items()
    assert read["inputs"]["generated"]["count"] == 24
    assert read["versions"]["numpy"] == np.__version__
    assert "protocol pointflow: 24 generated shapes; 24 reference shapes; points 128; frame global" in found.table()
    assert "| generated | 1-nna-chamfer |" in found.table()
    with pytest.raises(KeyError):
        found["fid"]


def test_only_results_on_the_same_terms_are_compared(sets):
    of_sets(sets, distances=("chamfer",)).save(sets / "a.json")
    np.save(sets / "other.npy", ellipsoids(24, 9))
    of_sets(sets, "other", distances=("chamfer",), options=Options(seed=1, draws=50)).save(sets / "b.json")
    table = compare([sets / "a.json", sets / "b.json"])
    assert "| 1-nna-chamfer |" in table
    assert "[perfect: " in table
    of_sets(sets, protocol="lion-box", distances=("chamfer",)).save(sets / "c.json")
    with pytest.raises(EvaluationError, match=r'they differ in protocol, "pointflow" and "lion-box"'):
        compare([sets / "a.json", sets / "c.json"])
    np.save(sets / "few.npy", ellipsoids(20, 9))
    of_sets(sets, "few", distances=("chamfer",)).save(sets / "f.json")
    with pytest.raises(EvaluationError, match="they differ in generated, 24 and 20"):
        compare([sets / "a.json", sets / "f.json"])
    np.save(sets / "reference.npy", ellipsoids(23, 1))
    of_sets(sets, distances=("chamfer",)).save(sets / "d.json")
    with pytest.raises(EvaluationError, match="they differ in reference"):
        compare([sets / "a.json", sets / "d.json"])
    (sets / "e.json").write_text("{}")
    with pytest.raises(EvaluationError, match=r"e.json: not a result of `geomflow evaluate`"):
        compare([sets / "a.json", sets / "e.json"])
    with pytest.raises(EvaluationError, match="at least two evaluations to compare, given 1"):
        compare([sets / "a.json"])


@pytest.fixture
def pairs(tmp_path):
    """Two reference meshes and their reconstructions: a ball too large by 0.01, and a box as it is."""
    for name in ("true", "made"):
        (tmp_path / name).mkdir()
    Sphere(0.5).mesh().export(tmp_path / "true" / "ball.ply")
    Sphere(0.51).mesh().export(tmp_path / "made" / "ball.ply")
    for name in ("true", "made"):
        Box((0.5, 0.4, 0.3)).mesh().export(tmp_path / name / "box.obj")
    return tmp_path


def test_reconstructions_have_their_closed_values(pairs):
    """In the frame of the ball's box everything is twice as large, so the skin is 0.02 thick."""
    found = evaluate(pairs / "made", pairs / "true", "recon-unit", points=20_000, options=FAST)
    ball, box = found.shapes
    assert (ball["id"], box["id"]) == ("ball", "box")
    assert ball["to-reference"] == pytest.approx(0.02, abs=1e-3)
    assert ball["iou"] == pytest.approx((0.5 / 0.51) ** 3, abs=6e-3)
    assert ball["near-iou"] < ball["iou"]
    assert box["iou"] == box["near-iou"] == 1
    assert box["to-reference"] == pytest.approx(0, abs=1e-6)
    assert box["chamfer-over-floor"] == pytest.approx(1, abs=0.03)
    assert found["iou"] == pytest.approx((ball["iou"] + 1) / 2)
    assert found["to-reference-worst-tenth"] == ball["to-reference"]
    assert found["iou-worst-tenth"] == ball["iou"]


def test_samples_of_a_surface_are_at_the_floor_and_shifted_ones_are_not(tmp_path):
    mesh = trimesh.creation.torus(2, 0.7)
    mesh.export(tmp_path / "ring.ply")
    np.save(tmp_path / "good.npy", sample_surface(mesh, 30_000, 1).points)
    np.save(tmp_path / "off.npy", sample_surface(mesh, 30_000, 2).points + np.array([0, 0, 0.05]))
    good, off = (
        evaluate(tmp_path / f"{name}.npy", tmp_path / "ring.ply", "geomdist", points=20_000, options=FAST)
        for name in ("good", "off")
    )
    assert good["chamfer-over-floor"] == pytest.approx(1, abs=0.03)
    assert good["to-surface-max"] < 1e-5
    assert good["dispersion"] == pytest.approx(1, abs=0.25)
    assert off["chamfer-over-floor"] > 1.2
    assert 0.2 * 0.05 / 2.7 < off["to-surface-mean"] < 0.05 / 2.7


def test_solids_fail_for_what_they_lack(tmp_path):
    (tmp_path / "made").mkdir()
    solid = Box((0.5, 0.4, 0.3)).mesh()
    solid.export(tmp_path / "made" / "good.ply")
    trimesh.Trimesh(solid.vertices, solid.faces[1:], process=False).export(tmp_path / "made" / "open.ply")
    trimesh.util.concatenate([solid, solid.copy().apply_translation((3, 0, 0))]).export(tmp_path / "made" / "two.ply")
    trimesh.creation.box(extents=(2, 2, 0.01)).export(tmp_path / "made" / "thin.ply")
    (tmp_path / "made" / "generation.json").write_text(json.dumps({"shapes": [{"file": ""}]}))
    found = evaluate(tmp_path / "made", None, "solid", options=FAST)
    assert found["watertight"] == found["one-component"] == 3 / 5
    assert found["solid"] == 2 / 5
    assert "4 generated shapes, 1 more without a surface" in found.table()
    assert found["printable"] == 1 / 5
    by_id = {shape["id"]: shape for shape in found.shapes}
    assert by_id["thin"]["thickness"] == pytest.approx(0.01, rel=1e-3)
    assert by_id["two"]["components"] == 2
    json.dumps(found.as_dict(), allow_nan=False)


def test_reconstructions_in_other_units_are_an_error_and_a_single_bad_one_is_a_bad_number(pairs):
    mesh = trimesh.load(pairs / "made" / "ball.ply").apply_scale(3)
    mesh.export(pairs / "made" / "ball.ply")
    for name in ("true", "made"):
        Box((0.5, 0.3, 0.3)).mesh().export(pairs / name / "other.obj")
    found = evaluate(pairs / "made", pairs / "true", "recon-unit", points=1000, options=FAST)
    assert found.shapes[0]["iou"] < 0.1
    for file in (pairs / "made").iterdir():
        trimesh.load(file, process=False).apply_scale(0.5).export(file)
    with pytest.raises(EvaluationError, match=r"made: in another frame than the reference: 0.5 times as large and"):
        evaluate(pairs / "made", pairs / "true", "recon-unit", points=1000, options=FAST)


def test_a_sheet_has_no_inside_but_all_other_numbers(tmp_path):
    sheet = trimesh.Trimesh([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]], [[0, 1, 2], [0, 2, 3]])
    sheet.export(tmp_path / "sheet.ply")
    found = evaluate(tmp_path / "sheet.ply", tmp_path / "sheet.ply", "recon-unit", points=4000, options=FAST)
    assert found.shapes[0]["iou"] is None
    assert "iou" not in {number.metric for number in found.numbers}
    assert found["chamfer-over-floor"] == pytest.approx(1, abs=0.05)
    json.dumps(found.as_dict(), allow_nan=False)


def test_bad_input_is_named(sets, pairs):
    with pytest.raises(ConfigError, match="unknown protocol 'fid': the protocols are pointflow, lion-box"):
        evaluate(sets / "generated.npy", sets / "reference.npy", "fid")
    with pytest.raises(ConfigError, match="'pointflow' compares with a reference, given none"):
        evaluate(sets / "generated.npy", None)
    with pytest.raises(ConfigError, match="unknown distance 'cd'"):
        of_sets(sets, distances=("cd",))
    with pytest.raises(ConfigError, match="'solid' does not use train here"):
        evaluate(pairs / "made", None, "solid", train=pairs / "true")
    with pytest.raises(ConfigError, match="points must be at least 1 for 'pointflow', not -3"):
        evaluate(sets / "generated.npy", sets / "reference.npy", points=-3)
    with pytest.raises(ConfigError, match="'recon-unit' does not use distances here"):
        evaluate(pairs / "made", pairs / "true", "recon-unit", distances=("emd",))
    with pytest.raises(ConfigError, match=r"points must be at least 200 for"):
        evaluate(pairs / "made", pairs / "true", "geomdist", points=100)
    with pytest.raises(ConfigError, match=r"draws and workers must be at least 1 .* given draws 0"):
        of_sets(sets, options=Options(draws=0))
    with pytest.raises(EvaluationError, match=r"generated.npy\[0\]: wanted at least 2048 points, found 128"):
        evaluate(sets / "generated.npy", sets / "reference.npy")
    np.save(sets / "one.npy", ellipsoids(1, 0))
    with pytest.raises(EvaluationError, match="wanted a set of at least 2 shapes, found 1"):
        of_sets(sets, "one")
    (pairs / "made" / "box.obj").write_text("v 0 0 0\n")
    with pytest.raises(MeshError, match=r"box.obj"):
        evaluate(pairs / "made", pairs / "true", "recon-unit", points=1000, options=Options(workers=2))


@pytest.fixture
def images(tmp_path):
    """Smooth random images as .npy, .safetensors and a folder of PNGs."""
    rng = np.random.default_rng(0)
    ramp = np.linspace(0, 255, 28)[None, :, None] * rng.uniform(0.2, 1, (300, 1, 28))
    made = (ramp + rng.uniform(0, 40, (300, 28, 28))).clip(0, 255).astype(np.uint8)
    np.save(tmp_path / "a.npy", made[:150])
    safetensors.numpy.save_file({"images": made[150:]}, tmp_path / "b.safetensors")
    (tmp_path / "dark").mkdir()
    for i, image in enumerate(made[:150] // 4):
        Image.fromarray(image).save(tmp_path / "dark" / f"{i:03d}.png")
    return tmp_path


def test_images_of_one_law_are_near_the_floor_and_others_are_not(images):
    near, far = (evaluate(images / one, images / "b.safetensors", "fashion-mnist") for one in ("a.npy", "dark"))
    floor = near.controls["perfect model of these counts"][0].value
    assert 0.3 * floor < near["frechet-distance"] < 3 * floor
    assert far["frechet-distance"] > 10 * floor
    bounds = next(number for number in far.numbers if number.metric == "frechet-distance-unbiased")
    assert bounds.low < bounds.value < bounds.high
    assert near.terms == far.terms
    assert "fid" not in json.dumps(near.as_dict()).lower()


def test_images_of_another_kind_are_refused(images):
    np.save(images / "large.npy", np.zeros((40, 32, 32), np.uint8))
    with pytest.raises(EvaluationError, match=r"generated must be uint8 of shape .*, given shape \(40, 32, 32\)"):
        evaluate(images / "large.npy", images / "a.npy", "fashion-mnist")
    with pytest.raises(EvaluationError, match=r"nowhere: wanted an \.npy or"):
        evaluate(images / "nowhere", images / "a.npy", "fashion-mnist")


def _square(number: int) -> dict[str, np.ndarray]:
    return {"square": np.asarray(number**2)}


def test_jobs_come_back_in_order_from_processes_and_from_the_cache(tmp_path):
    options = Options(workers=2, cache=tmp_path)
    keys = [f"square-{i}" for i in range(20)]
    for _ in range(2):
        found = mapped(_square, range(20), keys, "squares", options)
        assert [int(row["square"]) for row in found] == [i**2 for i in range(20)]
    assert len(list(tmp_path.glob("*.npz"))) == 20
    next(tmp_path.glob("*.npz")).write_bytes(b"half a fi")
    assert [int(row["square"]) for row in mapped(_square, range(20), keys, "squares", options)] == [
        i**2 for i in range(20)
    ]


def test_every_protocol_says_what_it_is_for():
    for name, protocol in PROTOCOLS.items():
        assert protocol.name == name
        assert protocol.about
