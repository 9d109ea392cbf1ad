"""The examples of the documentation run as they are printed, and what they claim holds.

Run are those that need no file or run of the reader's own and take about a second: the start page, steering, ops. The
others name paths that the reader has to fill in; their functions have tests of their own.
"""

import math
import re
from pathlib import Path

import pytest
import torch

from docs.examples import short_edm
from docs.examples.disks import Disks
from geomflow import Pipeline, shelves
from geomflow.config import override
from geomflow.flow import FlowMap, Formulation
from geomflow.model import LatentScale
from geomflow.train import train

ROOT = Path(__file__).resolve().parent.parent
GUIDES = ["docs/index.md", "docs/steering.md", "docs/ops.md", "docs/pictures.md"]
FIRST_ONLY = ("docs/ops.md", "docs/pictures.md")
SMALL = {
    "dataset.name": "docs.examples.disks",
    "condition": "",
    "encoder.size": "16",
    "optimization.batch_size": "64",
}


def examples(guide: str) -> list[str]:
    """The fenced Python of a document."""
    return re.findall(r"^```python\n(.*?)^```", (ROOT / guide).read_text(), flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("guide", GUIDES)
def test_examples_run_as_they_are_printed(guide, tmp_path, monkeypatch, unchecked_shapes):
    monkeypatch.chdir(tmp_path)
    shared = {"__name__": "__example__"}
    for example in examples(guide)[: 1 if guide in FIRST_ONLY else None]:
        exec(compile(example, guide, "exec"), shared)
    assert _claims(guide, shared, tmp_path)


def _claims(guide: str, found: dict, folder: Path) -> bool:
    """What the guide says of what its examples leave behind."""
    if guide == "docs/index.md":
        sphere = abs(found["again"].volume - 4 / 3 * math.pi / 8) < 0.02
        return sphere and abs(found["inside"].distance[0] + 0.5) < 0.01 and (folder / "chair.glb").stat().st_size > 1000
    if guide == "docs/steering.md":
        upper = found["known"][..., None]
        return bool((found["filled"] == found["images"])[upper.repeat(1, -1)].all()) and found["steps"] >= 1
    if guide == "docs/pictures.md":
        page = (folder / "mesh.html").read_text()
        return "<script" in page and not re.search(r'src="https?://', page)
    return bool((found["nearest"][:, :, 0] == found["points"])[0].all())


@pytest.fixture
def disks() -> Disks:
    return Disks(LatentScale((1, 96, 96)), 96)


def roundness(pictures: torch.Tensor) -> torch.Tensor:
    """Area over 2 pi times the mean squared distance from its centre: 1 for a disk and less for any other shape."""
    inside = (pictures[:, 0] + 1).clamp(0, 2) / 2
    axis = torch.arange(inside.shape[-1], dtype=inside.dtype)
    area, spread = inside.sum((1, 2)), 0
    for other in (1, 2):
        profile = inside.sum(other) / area[:, None]
        mean = (profile * axis).sum(1, keepdim=True)
        spread = spread + (profile * (axis - mean) ** 2).sum(1)
    return area / (2 * math.pi * spread)


def test_a_data_set_of_ones_own_draws_disks(disks):
    pictures = disks.draw(200, torch.Generator().manual_seed(1))
    assert (roundness(pictures) - 1).abs().max() < 0.01
    squares = torch.full((1, 1, 96, 96), -1.0)
    squares[:, :, 20:60, 30:70] = 1
    torch.testing.assert_close(roundness(squares), torch.tensor([3 / math.pi]), atol=1e-3, rtol=0)


def test_its_batches_are_standardised_and_repeat(disks):
    first, again = (disks.batch(torch.arange(512), torch.Generator().manual_seed(2))["data"] for _ in range(2))
    assert torch.equal(first, again)
    assert abs(float(first.mean())) < 0.05
    assert abs(float(first.std()) - 1) < 0.05


def trained(out: Path, steps: int, widths: str = "[32]") -> Pipeline:
    settings = {**SMALL, "optimization.steps": str(steps), "network.widths": widths}
    return Pipeline.from_pretrained(train(override(shelves.load("presets", "image_unet"), settings), ROOT, out))


def test_a_run_names_it_by_its_dotted_path(tmp_path, unchecked_shapes):
    pipe = trained(tmp_path / "run", 2)
    assert pipe.saved.config.dataset.name == "docs.examples.disks"
    assert pipe(2, steps=1).images.shape == (2, 16, 16, 1)


@pytest.mark.slow
def test_its_samples_become_disks(tmp_path, unchecked_shapes):
    images = trained(tmp_path / "run", 400, widths="[32, 64]")(64, steps=2).images
    generated, drawn = torch.from_numpy(images).movedim(-1, 1).float() - 127.5, Disks(LatentScale((1, 16, 16)), 16)
    wanted = roundness(drawn.draw(1000, torch.Generator().manual_seed(3)).sign()).quantile(0.01)
    assert (roundness(generated.sign()) > wanted).float().mean() > 0.7  # noise: none


def test_a_formulation_of_two_lines_is_a_solution_operator():
    formulation = short_edm.make()
    assert isinstance(formulation, Formulation)
    t, s, r = (torch.full((1,), value, dtype=torch.float64) for value in (0.1, 0.4, 0.9))
    (p_ts, q_ts), (p_sr, q_sr), (p_tr, q_tr) = (formulation.coefficients(*pair) for pair in ((t, s), (s, r), (t, r)))
    torch.testing.assert_close(q_tr, q_ts * q_sr)
    torch.testing.assert_close(p_tr, p_sr + q_sr * p_ts)
    points = torch.full(
        (4, 2), 0.7, dtype=torch.float64
    )  # data of one point: the exact denoiser, and so the map, is it
    single = Formulation(formulation.path, "data")
    landing = FlowMap(lambda x, t, r, condition=None: points[: len(x)], single).sample(torch.randn(4, 2).double(), 3)
    torch.testing.assert_close(landing, points, atol=0.05, rtol=0)
