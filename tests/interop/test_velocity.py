"""The velocity of flow maps in the hands of other solvers: exact flows, the pipelines' own ODE, the clock's ends."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from geomflow import Pipeline
from geomflow.flow import FlowMap
from geomflow.interop import VelocityModel, velocity_model
from geomflow.pipelines._latents import noise_of
from tests.flow.cases import CASES, bare, every, exact
from tests.flow.oracles import gaussian


@pytest.fixture(scope="module")
def fashion():
    return Pipeline.from_pretrained("fashion")


def solved(model: VelocityModel, x: torch.Tensor, end: float, tolerance: float = 1e-9, **extras) -> torch.Tensor:
    """Where SciPy's Runge-Kutta of fourth and fifth order ends."""

    def velocity(t: float, flat: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return model(torch.from_numpy(flat).to(x.dtype).reshape(x.shape), t, **extras).flatten().double().numpy()

    found = solve_ivp(velocity, (0, end), x.flatten().double().numpy(), rtol=tolerance, atol=tolerance)
    assert found.success
    return torch.from_numpy(found.y[:, -1]).to(x.dtype).reshape(x.shape)


@every
def test_scipy_follows_the_exact_flow(name):
    mixture, flow_map = gaussian(), exact(name, gaussian())
    model = velocity_model(flow_map)
    noise = torch.randn(8, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    path, end = flow_map.formulation.path, torch.full((8,), model.last, dtype=torch.float64)
    start = path.sigma(torch.zeros((), dtype=torch.float64)) * noise
    torch.testing.assert_close(model.start(noise), start, rtol=0, atol=0)
    expected = mixture.exact_map(path)(start, torch.zeros_like(end), end)
    torch.testing.assert_close(solved(model, start, model.last, tolerance=1e-7), expected, rtol=1e-5, atol=1e-5)


@every
def test_it_is_finite_on_the_whole_clock_and_beyond(name):
    model = velocity_model(exact(name, gaussian()))
    x = model.start(torch.randn(4, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    for t in (-0.1, 0.0, 0.5, 1.0, 1.1, torch.tensor(1.0), torch.tensor([0.0, 0.3, 0.9, 1.0])):
        assert model(x, t).isfinite().all()
    torch.testing.assert_close(model(x, 1.1), model(x, model.last), rtol=0, atol=0)
    torch.testing.assert_close(model(x, torch.tensor(0.5)), model(x, torch.full((4,), 0.5)), rtol=0, atol=0)


def test_only_where_a_prediction_says_nothing_is_the_clock_shorter():
    ends = {name: (model.first, model.last) for name in CASES for model in [velocity_model(exact(name, gaussian()))]}
    assert ends["u_prediction"] == ends["edm"] == ends["ddim"] == (0, 1)
    assert ends["x1_prediction"] == (0, 0.999)
    noisy = FlowMap(torch.nn.Identity(), replace(bare("u_prediction"), predicts="noise"))
    assert velocity_model(noisy).first == pytest.approx(0.001)


def test_a_data_prediction_walked_to_the_end_errs_by_what_is_left_of_the_clock():
    flow_map = exact("x1_prediction", gaussian())
    model = velocity_model(flow_map)
    start = model.start(torch.randn(8, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    one = torch.ones(8, dtype=torch.float64)
    expected = gaussian().exact_map(flow_map.formulation.path)(start, 0 * one, one)
    found = solved(model, start, 1.0)
    assert (found - expected).abs().max() <= 1e-3 * model(expected, 1.0).abs().max()


def test_gradients_go_through():
    model = velocity_model(exact("u_prediction", gaussian()))
    x = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda place: model(place, 0.4), x)


def test_scipy_arrives_where_the_pipelines_ode_does(fashion, unchecked_shapes):
    model = velocity_model(fashion, "Trouser")
    noise = noise_of(fashion.model, 2, seed=3)
    with torch.no_grad():
        latents = fashion.model.scale.restore(solved(model, model.start(noise), model.last, tolerance=1e-4))
    theirs = fashion(count=2, steps=24, seed=3, condition="Trouser", ode=True).latents
    other = fashion(count=2, steps=24, seed=3, condition="Bag", ode=True).latents
    gap = (latents - theirs).square().mean().sqrt()
    assert gap < 0.1 * (theirs - other).square().mean().sqrt()
    assert gap < 0.02 * fashion.model.scale.std.mean()


def test_a_condition_may_come_with_the_call(fashion, unchecked_shapes):
    x = noise_of(fashion.model, 3, seed=0)
    trouser, bag = velocity_model(fashion, "Trouser"), velocity_model(fashion, "Bag")
    told = {"class": torch.tensor([fashion.classes.index("Bag")] * 3)}
    with torch.no_grad():
        assert not torch.equal(trouser(x, 0.5), bag(x, 0.5))
        torch.testing.assert_close(trouser(x, 0.5, condition=told), bag(x, 0.5), rtol=0, atol=0)
        torch.testing.assert_close(velocity_model(fashion, told)(x, 0.5), bag(x, 0.5), rtol=0, atol=0)


def test_what_is_wrong_is_named(fashion, unchecked_shapes):
    with pytest.raises(TypeError, match="source must be a FlowMap or a Pipeline, given a Linear"):
        velocity_model(torch.nn.Linear(2, 2))
    with pytest.raises(ValueError, match="no class 'Spoon'"):
        velocity_model(fashion, "Spoon")
    with pytest.raises(ValueError, match="condition must be a mapping of 'surface' to a tensor, given a str"):
        velocity_model(Pipeline.from_pretrained("joints"), "a surface")


def test_flow_matchings_solver_takes_it_as_it_is():
    solver = pytest.importorskip(
        "flow_matching.solver", reason="flow_matching is not installed: pip install flow_matching"
    )
    model = velocity_model(exact("u_prediction", gaussian()))
    noise = torch.randn(8, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = solver.ODESolver(model).sample(
        x_init=model.start(noise), method="dopri5", step_size=None, rtol=1e-8, atol=1e-8
    )
    torch.testing.assert_close(found, solved(model, noise, 1.0), rtol=1e-5, atol=1e-5)
