"""Learning on manifolds: in seconds a tiny network becomes a one-step map of a mixture, and a plain model does not.

Energy distances to held-out samples, of which two sets of 2,000 are at most 0.003 apart on the sphere, 0.005 on SO(3);
uniform noise is at 0.52 and 0.34. The bounds are about twice what was measured.
"""

import re
from pathlib import Path

import pytest
import torch

from tests.conftest import without_shape_checks
from tests.flow.curved_learning import energy_distance, mixture, noise_and_data, train


def judge(name: str, objective: str, steps: int, batch: int = 512) -> dict[str, float]:
    """Energy distances of 1, 2 and 4 jumps, and of one Euler step of the same weights."""
    target = mixture(name)
    with without_shape_checks():
        flow_map = train(target, objective, steps, batch)
        noise, data = noise_and_data(target, 2000)
        samples = {str(k): flow_map.sample(noise, k) for k in (1, 2, 4)}
        samples["euler"] = flow_map.sample_ode(noise, 1, "euler")
    for sample in samples.values():
        assert (target.manifold.project(sample.double()) - sample).abs().max() < 1e-6
    return {way: energy_distance(sample, data) for way, sample in samples.items()}


def test_a_mixture_on_the_sphere_is_learned() -> None:
    found = judge("sphere", "geodesic_semigroup", 350, batch=256)
    assert found["1"] < 0.014
    assert found["4"] < 0.006
    assert found["euler"] > 0.04


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["geodesic_semigroup", "geodesic_lagrangian", "geodesic_eulerian"])
@pytest.mark.parametrize("name", ["sphere", "rotations"])
def test_every_objective_learns_a_mixture(name: str, objective: str) -> None:
    found = judge(name, objective, 700)
    assert max(found["1"], found["2"], found["4"]) < 0.03
    assert found["euler"] > 0.06


@pytest.mark.slow
def test_the_guide_s_examples_do_what_it_says(unchecked_shapes) -> None:
    """Directions stay directions; rotations that stand stand up in one jump, and their vectors lead back to them."""
    guide, found = Path(__file__).resolve().parents[2] / "docs" / "manifolds.md", {}
    for example in re.findall(r"^```python\n(.*?)^```", guide.read_text(), flags=re.MULTILINE | re.DOTALL):
        exec(compile(example, str(guide), "exec"), found)
    assert (found["vectors"].shape, found["poses"].shape) == ((2000, 3), (2000, 3, 3))
    assert found["tilts"][0] == pytest.approx(89, abs=2)
    assert found["tilts"][1] == pytest.approx(10, abs=3)
    assert found["tilts"][2] == pytest.approx(5, abs=3)
    assert found["tilt"](found["standing"](2000)) == pytest.approx(7, abs=1)
    assert (found["poses"] @ found["poses"].mT - torch.eye(3)).abs().max() < 2e-6
    assert (found["rotation"](found["vectors"]) - found["poses"]).abs().max() < 1e-5
