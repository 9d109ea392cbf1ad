"""Less noisy targets: the data expected behind a noisy state, in place of the data that it was made of.

The regression of m(x_t, t, t) on pairs of data and noise has the expectation E[data | x_t] as its minimiser, so a
target that estimates this expectation better than a single draw has the same minimiser and less variance (stable target
field, arXiv 2302.00670). What is known of the data decides how well it can be estimated: the estimate comes from
outside.
"""

from dataclasses import replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from geomflow.flow.formulation import Formulation, per_sample
from geomflow.flow.objective import FlowBatch


@runtime_checkable
class Expectation(Protocol):
    """An estimate of the data expected behind noisy states.

    On manifolds z is the state itself, and what is expected of the data is the tangent vector to them.
    """

    def __call__(
        self, z: Float[Tensor, " batch *shape"], ratio: Float[Tensor, " batch"], data: Float[Tensor, " batch *shape"], /
    ) -> Float[Tensor, " batch *shape"]:
        """E[data | z], where z = data + ratio noise; ``data`` is what the states were made of.

        Args:
            z: noisy states on the scale of the data.
            ratio: sigma / signal of each.
            data: what the states were made of.
        """
        ...


def expected(batch: FlowBatch, formulation: Formulation, expectation: Expectation) -> FlowBatch:
    """The batch with data and noise as they are expected at x_t, which they still make up: x_t = a data + b noise.

    Args:
        batch: pairs as they were drawn.
        formulation: whose path they are on.
        expectation: data expected behind a state.
    """
    signal, sigma = formulation.path.signal(batch.t), formulation.path.sigma(batch.t)
    usable = (signal > 0) & (sigma > 0)  # at t = 0 and t = 1 of some paths there is nothing to estimate from
    ratio = torch.where(usable, sigma / signal, 1)
    z = formulation.evidence(batch.data, batch.noise, ratio)
    known = per_sample(usable.to(z), z) > 0
    data = torch.where(known, expectation(z, ratio, batch.data), batch.data)
    noise = torch.where(known, formulation.noise_behind(data, z, ratio), batch.noise)
    return replace(batch, data=data, noise=noise, drawn=batch.drawn or (batch.data, batch.noise))
