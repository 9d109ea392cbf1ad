"""Formulations: P, Q are the solution operator they claim to be, for every file on the shelf."""

from dataclasses import replace
from typing import get_args

import pytest
import torch
from torch import Tensor

from geomflow import shelves
from geomflow.flow import Formulation, Identity, Karras, KarrasPath, LinearPath
from geomflow.flow.formulation import Prediction
from tests.flow.cases import CASES, load
from tests.flow.oracles import eight_gaussians

EXTRA = {
    "linear-noise": Formulation(LinearPath(), "noise"),
    "karras-noise": Formulation(KarrasPath(), "noise"),
    "karras-velocity": Formulation(KarrasPath(), "velocity"),
    "cosine-velocity": replace(load("ddim"), predicts="velocity", preconditioner=Identity()),
}
FORMULATIONS = {name: load(name) for name in CASES} | EXTRA
every = pytest.mark.parametrize("formulation", FORMULATIONS.values(), ids=FORMULATIONS.keys())
on_shelf = pytest.mark.parametrize("formulation", [FORMULATIONS[name] for name in CASES], ids=CASES.keys())


def triples() -> tuple[Tensor, Tensor, Tensor]:
    """Random t <= s <= r inside the clock."""
    times = torch.rand(200, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).sort(1).values
    t, s, r = (0.02 + 0.96 * times).unbind(1)
    return t, s, r


@every
def test_solution_operator_composes(formulation: Formulation) -> None:
    t, s, r = triples()
    (p_tr, q_tr), (p_ts, q_ts), (p_sr, q_sr) = (formulation.coefficients(*pair) for pair in ((t, r), (t, s), (s, r)))
    torch.testing.assert_close(q_tr, q_sr * q_ts, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(p_tr, p_sr + q_sr * p_ts, rtol=1e-10, atol=1e-10)
    lam = formulation.lam(t, s, r)
    torch.testing.assert_close(lam, p_sr / p_tr, rtol=1e-10, atol=0)
    assert ((lam >= 0) & (lam <= 1)).all()


@every
def test_rates_are_the_derivatives_on_the_diagonal(formulation: Formulation) -> None:
    t, _, r = triples()
    h = 1e-6
    p, q = formulation.rates(t)
    (p_up, q_up), (p_down, q_down) = formulation.coefficients(t, t + h), formulation.coefficients(t, t - h)
    torch.testing.assert_close((p_up - p_down) / (2 * h), p, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close((q_up - q_down) / (2 * h), q, rtol=1e-6, atol=1e-7)
    (p_up, q_up), (p_down, q_down) = formulation.coefficients(t + h, r), formulation.coefficients(t - h, r)
    gain, kept = formulation.coefficients(t, r)
    torch.testing.assert_close((p_up - p_down) / (2 * h), -p * kept, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close((q_up - q_down) / (2 * h), -q * kept, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(formulation.field_gain(t, r) * p * kept, gain)


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_empty_jump_is_exact_on_the_closed_clock(formulation: Formulation, dtype: torch.dtype) -> None:
    t = torch.linspace(0, 1, 101, dtype=dtype)
    gain, kept = formulation.coefficients(t, t)
    assert torch.equal(gain, torch.zeros_like(t))
    assert torch.equal(kept, torch.ones_like(t))
    assert torch.equal(formulation.lam(t, t, t), torch.zeros_like(t))


@on_shelf
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_everything_is_finite_on_the_closed_clock(formulation: Formulation, dtype: torch.dtype) -> None:
    grid = torch.linspace(0, 1, 21, dtype=dtype)
    t, r = (times.reshape(-1) for times in torch.meshgrid(grid, grid, indexing="ij"))
    t, r = t[t <= r], r[t <= r]
    values = [*formulation.coefficients(t, r), formulation.lam(t, (t + r) / 2, r), formulation.path.sigma(t)]
    values.append(formulation.x_t(torch.ones(len(t), 2, dtype=dtype), torch.ones(len(t), 2, dtype=dtype), t))
    c = formulation.preconditioner
    values += [function(t) for function in (c.c_in, c.c_out, c.c_skip, c.c_noise, c.weight)]
    assert all(value.isfinite().all() for value in values)
    assert all(value.dtype == dtype for value in values)


@on_shelf
def test_float32_agrees_with_float64(formulation: Formulation) -> None:
    t, s, r = triples()
    single = [time.float() for time in (t, s, r)]
    for mine, exact in zip(formulation.coefficients(*single[::2]), formulation.coefficients(t, r), strict=True):
        torch.testing.assert_close(mine.double(), exact, rtol=2e-5, atol=2e-5)


@every
def test_conditional_prediction_gives_the_conditional_velocity(formulation: Formulation) -> None:
    """The velocity: p m_c + q x_t = signal' data + sigma' noise for every pair of data and noise."""
    t, _, _ = triples()
    generator = torch.Generator().manual_seed(1)
    data, noise = torch.randn(2, len(t), 3, dtype=torch.float64, generator=generator)
    x, m = formulation.x_t(data, noise, t), formulation.instantaneous_target(data, noise, t)
    rates = formulation.path.signal_rate(t)[:, None], formulation.path.sigma_rate(t)[:, None]
    velocity = rates[0] * data + rates[1] * noise
    torch.testing.assert_close(formulation.velocity(m, x, t), velocity, rtol=1e-9, atol=1e-8)
    torch.testing.assert_close(formulation.convert(m, x, t, "velocity"), velocity, rtol=1e-9, atol=1e-8)


@every
def test_conversions_recover_the_pair_and_return(formulation: Formulation) -> None:
    """From any prediction to data, noise and velocity, and back again."""
    t, _, _ = triples()
    data, noise = torch.randn(2, len(t), 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    x, m = formulation.x_t(data, noise, t), formulation.instantaneous_target(data, noise, t)
    torch.testing.assert_close(formulation.data_and_noise(m, x, t), (data, noise), rtol=1e-7, atol=1e-7)
    for other in get_args(Prediction):
        there = formulation.convert(m, x, t, other)
        back = replace(formulation, predicts=other).convert(there, x, t, formulation.predicts)
        torch.testing.assert_close(back, m, rtol=1e-6, atol=1e-6)


@on_shelf
def test_a_jump_with_the_true_pair_lands_on_the_path(formulation: Formulation) -> None:
    """Along one (data, noise) pair a prediction of an end is constant, so P m_c + Q x_t = x_r exactly."""
    if formulation.predicts == "velocity" and not isinstance(formulation.path, LinearPath):
        pytest.skip("on a curved path the velocity of a pair turns")
    t, _, r = triples()
    data, noise = torch.randn(2, len(t), 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    m = formulation.instantaneous_target(data, noise, t)
    landed = formulation.jump(m, formulation.x_t(data, noise, t), t, r)
    torch.testing.assert_close(landed, formulation.x_t(data, noise, r), rtol=1e-9, atol=1e-9)


def test_published_closed_forms() -> None:
    t, s, r = triples()
    u, edm = FORMULATIONS["u_prediction"], FORMULATIONS["edm"]
    torch.testing.assert_close(u.coefficients(t, r), (r - t, torch.ones_like(t)))
    torch.testing.assert_close(u.field_gain(t, r), r - t)
    torch.testing.assert_close(u.lam(t, s, r), (r - s) / (r - t))
    now, then, rate = edm.path.sigma(t), edm.path.sigma(r), edm.path.sigma_rate(t)
    torch.testing.assert_close(edm.coefficients(t, r), ((now - then) / now, then / now))
    torch.testing.assert_close(edm.rates(t), (-rate / now, rate / now))
    torch.testing.assert_close(edm.field_gain(t, r) * rate, (then - now) * now / then)
    x1 = FORMULATIONS["x1_prediction"]
    torch.testing.assert_close(x1.coefficients(t, r), ((r - t) / (1 - t), (1 - r) / (1 - t)))
    torch.testing.assert_close(x1.rates(t), (1 / (1 - t), -1 / (1 - t)))
    torch.testing.assert_close(x1.field_gain(t, r), (r - t) * (1 - t) / (1 - r))


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_published_closed_forms_of_ddim(schedule: str) -> None:
    """Variance preserving; P, Q and H of both predictions."""
    t, _, r = triples()
    data, noise = (shelves.load("formulations", "ddim", schedule=schedule, predicts=end) for end in ("data", "noise"))
    (a_t, a_r), (b_t, b_r) = ([f(time) for time in (t, r)] for f in (data.path.signal, data.path.sigma))
    a_rate, b_rate = data.path.signal_rate(t), data.path.sigma_rate(t)
    torch.testing.assert_close(a_t**2 + b_t**2, torch.ones_like(t))
    torch.testing.assert_close(data.coefficients(t, r), (a_r - b_r * a_t / b_t, b_r / b_t))
    torch.testing.assert_close(noise.coefficients(t, r), (b_r - a_r * b_t / a_t, a_r / a_t))
    torch.testing.assert_close(data.rates(t), (a_rate - b_rate * a_t / b_t, b_rate / b_t))
    torch.testing.assert_close(noise.rates(t), (b_rate - a_rate * b_t / a_t, a_rate / a_t))
    height = b_t**2 * a_t / a_rate * (a_r * b_t / (b_r * a_t) - 1)
    torch.testing.assert_close(data.field_gain(t, r), height, rtol=1e-6, atol=1e-9)
    height = -a_t * b_t / a_rate * (b_r * a_t / a_r - b_t)
    torch.testing.assert_close(noise.field_gain(t, r), height, rtol=1e-6, atol=1e-9)


def test_a_grid_by_ratio_is_finite_where_the_ratio_is_not() -> None:
    grid = replace(FORMULATIONS["u_prediction"], spacing="log_ratio").grid(4)
    ratio = torch.tensor([1000**0.5, 1.0, 1000**-0.5], dtype=torch.float64)
    torch.testing.assert_close(grid, torch.cat([ratio.new_zeros(1), 1 / (1 + ratio), ratio.new_ones(1)]))


def test_ddim_grid_is_uniform_in_the_log_ratio() -> None:
    formulation = FORMULATIONS["ddim"]
    grid = formulation.grid(8)
    ratio = (formulation.path.sigma(grid) / formulation.path.signal(grid)).log()
    torch.testing.assert_close(ratio.diff(), ratio.diff().mean().expand(8))
    assert grid[[0, -1]].tolist() == [0, 1]
    ends = formulation.path.sigma(grid[[0, -1]]) / formulation.path.signal(grid[[0, -1]])
    torch.testing.assert_close(ends, torch.tensor([100, 0.01], dtype=torch.float64))


@pytest.mark.parametrize("name", FORMULATIONS)
def test_jumps_may_have_a_grid_of_their_own(name: str) -> None:
    """First from noise to next to the largest ratio, then to ever smaller ones, each by the same factor."""
    plain = FORMULATIONS[name]
    assert torch.equal(plain.jump_grid(5), plain.grid(5))
    formulation = replace(plain, jump_ratios=(1.0, 0.01))
    assert torch.equal(formulation.grid(5), plain.grid(5))
    grid = formulation.jump_grid(4)
    ratio = (formulation.path.sigma(grid) / formulation.path.signal(grid))[1:-1]
    torch.testing.assert_close(ratio, 10.0 ** -torch.tensor([0.5, 1.0, 1.5], dtype=torch.float64))
    assert grid[[0, -1]].tolist() == formulation.jump_grid(1).tolist() == [0, 1]


def test_a_grid_of_jumps_is_an_option_of_edm() -> None:
    formulation = shelves.load("formulations", "edm", jump_ratios=[20.0, 0.1])
    torch.testing.assert_close(formulation.path.sigma(formulation.jump_grid(2)[1]).item(), 2**0.5)
    for wrong in ([0.1, 20.0], [1.0, 0.0], [100.0, 1.0], [3.0]):
        with pytest.raises(ValueError, match=r"jump_ratios must be two in \(0, 80\], the larger first, given"):
            shelves.load("formulations", "edm", jump_ratios=wrong)


def test_start_grid_and_edm_numbers() -> None:
    noise = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(FORMULATIONS["edm"].start(noise), 80 * noise)
    assert torch.equal(FORMULATIONS["u_prediction"].start(noise), noise)
    torch.testing.assert_close(FORMULATIONS["edm"].unstart(FORMULATIONS["edm"].start(noise)), noise)
    assert FORMULATIONS["edm"].grid(4).tolist() == [0, 0.25, 0.5, 0.75, 1]
    with pytest.raises(ValueError, match="steps must be a whole number of at least 1, given 0"):
        FORMULATIONS["edm"].grid(0)


def test_edm_preconditioner_is_the_published_one() -> None:
    formulation = shelves.load("formulations", "edm", sigma_data=0.7)
    c, t = formulation.preconditioner, torch.linspace(0, 1, 11, dtype=torch.float64)
    sigma, scale = formulation.path.sigma(t), 0.7
    torch.testing.assert_close(c.c_skip(t), scale**2 / (sigma**2 + scale**2))
    torch.testing.assert_close(c.c_out(t), sigma * scale / (sigma**2 + scale**2).sqrt())
    torch.testing.assert_close(c.c_in(t), (sigma**2 + scale**2) ** -0.5)
    torch.testing.assert_close(c.c_noise(t), sigma.log() / 4)
    torch.testing.assert_close(c.weight(t), (sigma**2 + scale**2) / (sigma * scale) ** 2)


def test_edm_network_output_stays_of_unit_size_for_every_jump() -> None:
    """The output required of the network, (m - c_skip x) / c_out, has rms at most 1.05 whatever the arrival."""
    mixture, formulation = eight_gaussians(torch.float64), FORMULATIONS["edm"]
    generator = torch.Generator().manual_seed(3)
    levels = torch.tensor([80.0, 10.0, 1.0, 0.3], dtype=torch.float64)
    for depart in formulation.path.time(levels):
        data = mixture.draw(400, generator)
        t = depart.expand(400)
        x = formulation.x_t(data, torch.randn(400, 2, dtype=torch.float64, generator=generator), t)
        for span in (0.0, 0.3, 1.0):
            r = t + span * (1 - t)
            gain, kept = (value[:, None] for value in formulation.coefficients(t, r))
            jump = (mixture.integrate(formulation.path, x, t, r, 60) - kept * x) / gain
            m = jump if span else mixture.instantaneous(formulation, x, t)
            c = formulation.preconditioner
            output = (m - c.c_skip(t)[:, None] * x) / c.c_out(t)[:, None]
            assert output.square().mean().sqrt() <= 1.05


def test_wrong_options_are_refused() -> None:
    with pytest.raises(ValueError, match="sigma_data must be positive, given 0"):
        Karras(KarrasPath(), 0.0)
