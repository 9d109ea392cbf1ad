"""Expected data: the same state, less noise, and the same field for training to find."""

import torch

from geomflow import shelves
from geomflow.flow import FlowBatch, FlowMap, LossModule, TimePairs
from geomflow.flow.expectation import expected
from tests.flow.oracles import gaussian


def test_the_state_stays_what_it_was():
    for name in ("edm", "u_prediction", "x1_prediction", "ddim"):
        formulation = shelves.load("formulations", name)
        t = torch.linspace(0, 1, 9, dtype=torch.float64)
        data, noise = torch.randn(2, 9, 4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        batch = FlowBatch(data, noise, t, t)
        made = expected(batch, formulation, lambda z, ratio, own: 0.3 * z + 0.1)
        before, after = (formulation.x_t(b.data, b.noise, t) for b in (batch, made))
        torch.testing.assert_close(after, before)
        assert torch.isfinite(made.noise).all()
        assert torch.equal(made.drawn[0], data)


def test_with_the_exact_expectation_the_exact_field_has_no_error():
    """For a Gaussian the posterior mean is closed: the instants' loss is zero with it, their variance without."""
    oracle = gaussian()
    for name in ("edm", "u_prediction"):
        formulation = shelves.load("formulations", name)
        exact = FlowMap(lambda *_: torch.zeros(0), formulation)
        exact.cumulative_field = lambda x, t, r, condition=None, f=formulation: oracle.instantaneous(f, x, t)

        def mean(z, ratio, own, formulation=formulation):
            t = formulation.path.time(ratio)
            signal = formulation.path.signal(t)[:, None]
            return oracle.expectations(formulation.path, signal * z, t)[0]

        data = oracle.draw(400, torch.Generator().manual_seed(0))
        pairs = TimePairs(warm_up=1.0, full_span=1.0, log_mean=0.0, log_std=0.7)
        losses = [
            LossModule(exact, shelves.load("objectives", "instantaneous"), pairs, expectation=one)(
                data, progress=0.5, generator=torch.Generator().manual_seed(1)
            )[0]
            for one in (mean, None)
        ]
        assert losses[0] < 1e-12
        assert losses[1] > 1e-2
