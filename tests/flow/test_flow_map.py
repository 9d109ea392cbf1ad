"""FlowMap: with an exact field as network, jumps, samples and inverses are the exact flow map."""

import copy
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from geomflow import shelves
from geomflow.flow import FlowMap
from geomflow.flow.sampler import Method
from tests.flow.cases import bare, every, exact, jump_batch, load
from tests.flow.oracles import ExactField, gaussian, three_gaussians


def exact_gaussian(name: str) -> tuple[FlowMap, Callable[[Tensor], Tensor]]:
    """The flow map of a Gaussian, and its closed form from unit noise to t = 1."""
    flow_map = exact(name, gaussian())
    psi, start = gaussian().exact_map(flow_map.formulation.path), flow_map.formulation.start

    def whole(noise: Tensor) -> Tensor:
        clock = noise.new_zeros(len(noise))
        return psi(start(noise), clock, clock + 1)

    return flow_map, whole


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """Unit noise."""
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


class Doubt(nn.Module):
    """A small network with arbitrary weights."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(4, 2)

    def forward(self, x: Tensor, t: Tensor, r: Tensor, condition: Tensor | None = None) -> Tensor:
        """Something that depends on everything."""
        output = self.layer(torch.cat([x, t[:, None], r[:, None]], 1)).tanh()
        return output if condition is None else output + condition


@pytest.mark.usefixtures("unchecked_shapes")
@every
def test_closed_form_gaussian_map_solves_the_ode(name: str) -> None:
    formulation, mixture = bare(name), gaussian()
    x = formulation.start(normal(20, 2))
    t = torch.zeros(20, dtype=torch.float64)
    integrated = mixture.integrate(formulation.path, x, t, t + 0.9, 800)
    torch.testing.assert_close(mixture.exact_map(formulation.path)(x, t, t + 0.9), integrated, rtol=1e-7, atol=1e-7)


@every
@pytest.mark.parametrize("steps", [1, 2, 4, 8])
def test_exact_field_needs_one_step(name: str, steps: int) -> None:
    flow_map, whole = exact_gaussian(name)
    noise = normal(50, 2)
    torch.testing.assert_close(flow_map.sample(noise, steps), whole(noise), rtol=1e-9, atol=1e-9)
    formulation = flow_map.formulation
    ends_clean = formulation.predicts == "data" and formulation.ends_clean  # then data count as states at t = 0.999
    back = flow_map.invert(whole(noise), steps)
    torch.testing.assert_close(back, noise, rtol=0, atol=2e-2 if ends_clean else 1e-6)


@every
def test_any_grid_gives_the_exact_map(name: str) -> None:
    flow_map, whole = exact_gaussian(name)
    noise = normal(50, 2)
    torch.testing.assert_close(flow_map.sample(noise, times=[0.0, 0.13, 0.7, 1.0]), whole(noise), rtol=1e-9, atol=1e-9)
    early = flow_map.sample(noise, times=torch.tensor([0.0, 0.4]))
    zero = torch.zeros(50, dtype=torch.float64)
    expected = flow_map(flow_map.formulation.start(noise), zero, 0.4)
    torch.testing.assert_close(early, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.usefixtures("unchecked_shapes")
@every
def test_one_and_many_steps_agree_on_a_mixture(name: str) -> None:
    flow_map, noise = exact(name, three_gaussians(), 200), normal(20, 2)
    torch.testing.assert_close(flow_map.sample(noise, 1), flow_map.sample(noise, 3), rtol=1e-5, atol=1e-5)


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_empty_jump_is_exactly_x(name: str, dtype: torch.dtype) -> None:
    flow_map = FlowMap(Doubt().to(dtype), load(name))
    x = 3 * normal(101, 2, dtype=dtype)
    t = torch.linspace(0, 1, 101, dtype=dtype)
    assert torch.equal(flow_map(x, t, t), x)


@every
def test_velocity_and_instantaneous_field(name: str) -> None:
    mixture, formulation = three_gaussians(), bare(name)
    flow_map, x = exact(name, three_gaussians()), normal(30, 2)
    t = torch.linspace(0.05, 0.9, 30, dtype=torch.float64)
    torch.testing.assert_close(flow_map.velocity(x, t), mixture.velocity(formulation.path, x, t), rtol=1e-8, atol=1e-8)
    near = flow_map.cumulative_field(x, t, t + 1e-4)
    assert (near - flow_map.instantaneous_field(x, t)).abs().max() < 1e-2


@pytest.mark.usefixtures("unchecked_shapes")
@every
def test_ode_sampler_converges_with_its_order(name: str) -> None:
    flow_map, whole = exact_gaussian(name)
    noise = normal(100, 2)
    errors = {
        method: [float((flow_map.sample_ode(noise, n, method) - whole(noise)).abs().mean()) for n in (64, 128)]
        for method in ("euler", "heun")
    }
    assert 1.7 < errors["euler"][0] / errors["euler"][1] < 2.3
    assert errors["heun"][0] / errors["heun"][1] > 2.8
    assert errors["heun"][1] < 2e-3
    back = flow_map.invert(whole(noise), 256, method="heun")
    assert (back - noise).abs().max() < 0.02


def test_edm_euler_step_is_the_published_one() -> None:
    """Each step is x + (sigma_r - sigma_t) (x - D) / sigma_t, on the rho = 7 grid from sigma_max noise."""
    flow_map, _ = exact_gaussian("edm")
    x, path = 80 * normal(10, 2), flow_map.formulation.path
    for t, r in ((0.0, 0.5), (0.5, 1.0)):
        start, end = torch.full((10,), t, dtype=torch.float64), torch.full((10,), r, dtype=torch.float64)
        slope = (x - flow_map.instantaneous_field(x, t)) / path.sigma(start)[:, None]
        x = x + (path.sigma(end) - path.sigma(start))[:, None] * slope
    torch.testing.assert_close(flow_map.sample_ode(normal(10, 2), 2, "euler"), x, rtol=1e-9, atol=1e-9)


@every
def test_network_calls(name: str) -> None:
    calls = []
    field = exact_gaussian(name)[0].network

    def counted(x: Tensor, t: Tensor, r: Tensor) -> Tensor:
        calls.append((float(t[0]), float(r[0])))
        return field(x, t, r)

    flow_map, noise = FlowMap(counted, bare(name)), normal(3, 2)
    flow_map.sample(noise, 4)
    assert calls == list(pairwise(pytest.approx(time) for time in flow_map.formulation.grid(4).tolist()))
    wanted_calls: list[tuple[Method, int]] = [("euler", 4), ("heun", 7)]
    for method, wanted in wanted_calls:
        calls.clear()
        flow_map.sample_ode(noise, 4, method)
        assert len(calls) == wanted
        assert all(t == r for t, r in calls)


@every
def test_network_sees_preconditioned_input(name: str) -> None:
    """Undoing the preconditioner inside the network gives the exact map again: skip, out, in and noise all agree."""
    formulation = load(name)
    mixture, c = gaussian(), formulation.preconditioner
    field = ExactField(mixture, formulation, mixture.exact_map(formulation.path))
    t, r = torch.full((9,), 0.3, dtype=torch.float64), torch.full((9,), 0.8, dtype=torch.float64)

    def network(x: Tensor, seen_t: Tensor, seen_r: Tensor) -> Tensor:
        torch.testing.assert_close((seen_t, seen_r), (c.c_noise(t), c.c_noise(r)))
        state = x / c.c_in(t)[:, None]
        return (field(state, t, r) - c.c_skip(t)[:, None] * state) / c.c_out(t)[:, None]

    x = formulation.start(normal(9, 2))
    torch.testing.assert_close(FlowMap(network, formulation)(x, 0.3, 0.8), field.psi(x, t, r))


def test_path_progress_and_condition() -> None:
    flow_map, noise = FlowMap(Doubt(), bare("u_prediction")), normal(6, 2, dtype=torch.float32)
    heard: list[tuple[int, int]] = []
    path = flow_map.sample(noise, 3, return_path=True, progress=lambda done, total: heard.append((done, total)))
    assert path.shape == (4, 6, 2)
    assert torch.equal(path[0], noise)
    assert torch.equal(path[-1], flow_map.sample(noise, 3))
    assert heard == [(1, 3), (2, 3), (3, 3)]
    shifted = flow_map.sample(noise, 1, condition=torch.ones(6, 2))
    torch.testing.assert_close(shifted, flow_map.sample(noise, 1) + 1)


def test_batches_of_any_shape_and_halves() -> None:
    flow_map = FlowMap(lambda x, t, r: x * t.reshape(-1, 1, 1, 1).to(x.dtype), shelves.load("formulations", "edm"))
    assert flow_map.sample(normal(2, 3, 4, 4, dtype=torch.float32), 2).shape == (2, 3, 4, 4)
    assert flow_map.sample(normal(2, 3, 4, 4).bfloat16(), 2).dtype == torch.bfloat16


def test_jumps_are_differentiable_in_weights_and_state() -> None:
    flow_map = FlowMap(Doubt(), shelves.load("formulations", "edm"))
    x = normal(4, 2, dtype=torch.float32).requires_grad_()
    flow_map(x, 0.0, 1.0).sum().backward()
    assert x.grad is not None
    assert all(weight.grad is not None for weight in flow_map.parameters())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f, x: f(x, -0.1, 0.5), r"t must lie on the clock \[0, 1\], given -0.1"),
        (lambda f, x: f(x, 0.5, torch.full((4,), 1.5)), r"r must lie on the clock \[0, 1\]"),
        (lambda f, x: f(x, float("nan"), 0.5), "t must lie on the clock"),
        (lambda f, x: f(x, torch.zeros(3), 0.5), r"t must be a number or have shape \(4,\), given shape \(3,\)"),
        (lambda f, x: f.sample(x, 0), "steps must be a whole number of at least 1, given 0"),
        (lambda f, x: f.sample_ode(x, -2), "steps must be a whole number of at least 1, given -2"),
        (lambda f, x: f.invert(x, 0), "steps must be a whole number of at least 1, given 0"),
        (lambda f, x: f.sample(x, times=[0.0, 0.6, 0.5, 1.0]), "times must increase from 0 to at most 1"),
        (lambda f, x: f.sample(x, times=[0.2, 1.0]), "times must increase from 0"),
        (lambda f, x: f.sample(x, times=[0.0, 2.0]), "times must increase from 0 to at most 1"),
        (lambda f, x: f.sample(x, times=[0.0]), "at least two of them"),
    ],
)
def test_bad_times_are_refused(call: Callable[[FlowMap, Tensor], Tensor], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(FlowMap(Doubt(), bare("u_prediction")), normal(4, 2, dtype=torch.float32))


def test_wrong_shape_of_the_network_is_refused() -> None:
    flow_map = FlowMap(lambda x, t, r: x[:, :1], bare("u_prediction"))
    with pytest.raises(ValueError, match=r"network must return the shape of x, \(4, 2\), it gave \(4, 1\)"):
        flow_map.sample(normal(4, 2))


@pytest.mark.parametrize("tolerance", [0.3, 0.03])
def test_enough_steps_is_the_first_count_whose_gap_to_twice_as_many_is_within_tolerance(tolerance):
    class Drifting(torch.nn.Module):
        """A field whose jumps are wrong by an amount that falls with their length."""

        def forward(self, x, t, r, condition=None):
            return x * (r - t)[:, None]

    flow_map = FlowMap(Drifting(), shelves.load("formulations", "u_prediction"))
    noise = torch.randn(64, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def gap(steps: int) -> float:
        return float((flow_map.sample(noise, steps) - flow_map.sample(noise, 2 * steps)).square().mean().sqrt())

    chosen = flow_map.enough_steps(noise, tolerance)
    assert gap(chosen) <= tolerance
    assert chosen > 1
    assert gap(chosen // 2) > tolerance
    with pytest.raises(ValueError, match="tolerance must be positive"):
        flow_map.enough_steps(noise, 0.0)


@pytest.mark.parametrize("name", ["u_prediction", "edm", "ddim"])
def test_auto_takes_the_count_that_enough_steps_finds(name: str) -> None:
    """The field of one instant sold as a map: its gap falls with the steps, so the tolerance decides the count."""
    formulation, mixture = bare(name), three_gaussians()
    flow_map, noise = FlowMap(lambda x, t, r: mixture.instantaneous(formulation, x, t), formulation), normal(64, 2)
    steps = flow_map.enough_steps(noise, 0.05)
    assert 1 < steps < 64
    assert torch.equal(flow_map.sample(noise, "auto", tolerance=0.05), flow_map.sample(noise, steps))
    gap = (flow_map.sample(noise, steps) - flow_map.sample(noise, 2 * steps)).square().mean().sqrt()
    assert gap <= 0.05


def test_auto_says_when_no_count_is_enough(caplog: pytest.LogCaptureFixture) -> None:
    formulation, mixture = bare("edm"), three_gaussians()
    flow_map = FlowMap(lambda x, t, r: mixture.instantaneous(formulation, x, t), formulation)
    assert flow_map.enough_steps(normal(16, 2), 1e-6, most=8) == 8
    assert "8 and 16 steps still differ by" in caplog.text


@every
@pytest.mark.parametrize("gamma", [0.3, 1.0])
def test_restarts_keep_the_distribution(name: str, gamma: float) -> None:
    """With the exact map every state, and the last, has the path's mean and deviation, within four standard errors."""
    flow_map, target = exact(name, gaussian()), gaussian()
    path, count = flow_map.formulation.path, 20_000
    generator = torch.Generator().manual_seed(1)
    noise = normal(count, 2) + path.signal(torch.zeros(1).double()) / path.sigma(torch.zeros(1).double()) * target.means
    states = flow_map.sample(noise, 3, gamma=gamma, generator=generator, return_path=True)
    plain = flow_map.sample(noise, 3, return_path=True)
    for state, time in zip(states[1:], flow_map.formulation.grid(3)[1:], strict=True):
        mean = path.signal(time) * target.means[0]
        deviation = ((path.signal(time) * target.stds[0]) ** 2 + path.sigma(time) ** 2).sqrt()
        assert ((state.mean(0) - mean).abs() < 4 * deviation / count**0.5 + 1e-3).all()
        assert ((state.std(0) / deviation - 1).abs() < 4 / (2 * count) ** 0.5 + 1e-3).all()
    assert (states[-1] - plain[-1]).abs().mean() > 0.05
    again = flow_map.sample(noise, 3, gamma=gamma, generator=torch.Generator().manual_seed(1))
    assert torch.equal(again, states[-1])


def test_gamma_outside_its_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r"gamma must lie in \[0, 1\], given 1.5"):
        FlowMap(Doubt(), bare("edm")).sample(normal(4, 2, dtype=torch.float32), 2, gamma=1.5)


@every
def test_integrate_converges_to_the_jump(name: str) -> None:
    flow_map = exact(name, gaussian())
    batch = jump_batch(flow_map.formulation, gaussian())
    x = flow_map.formulation.x_t(batch.data, batch.noise, batch.t)
    errors = [
        float((flow_map.integrate(x, batch.t, batch.r, n) - flow_map(x, batch.t, batch.r)).abs().max())
        for n in (32, 64)
    ]
    assert 3.2 < errors[0] / errors[1] < 5
    with pytest.raises(ValueError, match="steps must be a whole number of at least 1, given 0"):
        flow_map.integrate(x, batch.t, batch.r, 0)


@pytest.mark.parametrize("network", ["perceptron", "diffusion_transformer"])
def test_a_one_time_network_reproduces_itself(network: str) -> None:
    """With the r-embedder copied from the t-embedder, r = t is bit for bit the network that knows t alone."""
    options = {"perceptron": {"dimensions": 2}, "diffusion_transformer": {"latent_shape": (2, 2, 2, 2), "width": 12}}
    two_times = shelves.load("networks", network, **options[network])
    for weight in two_times.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    two_times.time.embed_r.load_state_dict(two_times.time.embed_t.state_dict())
    one_time = copy.deepcopy(two_times)
    one_time.time.forward = lambda t, r: one_time.time.embed_t(one_time.time._features(t))
    x = normal(16, *(options[network].get("latent_shape", (2,))), dtype=torch.float32)
    t = torch.linspace(0, 1, 16)
    formulation = shelves.load("formulations", "edm")
    multi_step, flow_map = FlowMap(one_time, formulation), FlowMap(two_times, formulation)
    assert torch.equal(flow_map.instantaneous_field(x, t), multi_step.instantaneous_field(x, t))
    assert torch.equal(flow_map.sample_ode(x, 4), multi_step.sample_ode(x, 4))
    assert not torch.equal(flow_map.sample(x, 2), multi_step.sample(x, 2))
