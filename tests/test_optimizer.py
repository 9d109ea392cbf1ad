"""Optimisers: Muon's step is the orthogonal part of the gradient, of Adam's size, and which weights it takes."""

import pytest
import torch
from torch import nn

from geomflow.config import Optimization
from geomflow.errors import ConfigError
from geomflow.networks import pointwise
from geomflow.optimizer import Muon, optimizers, orthogonal


@pytest.mark.parametrize("shape", [(2, 8, 8), (3, 12, 5), (1, 4, 20)])
def test_singular_values_become_one_and_vectors_stay(shape):
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    u, s, vh = torch.linalg.svd(matrices, full_matrices=False)
    found = u.mT @ orthogonal(matrices) @ vh.mT  # diagonal where the singular vectors are kept
    values = found.diagonal(dim1=1, dim2=2)
    torch.testing.assert_close(found, torch.diag_embed(values))
    large = s > 0.1 * s.max()
    assert values[large].min() > 0.6
    assert values[large].max() < 1.3


def test_the_first_step_has_the_size_of_adams():
    """0.2 sqrt(n) U V^T has root-mean-square entries of about 0.2: a fifth of the learning rate."""
    weight = nn.Parameter(torch.zeros(32, 32))
    weight.grad = torch.randn(32, 32, generator=torch.Generator().manual_seed(0))
    Muon([weight], lr=0.1).step()
    assert weight.detach().square().mean().sqrt() == pytest.approx(0.02, rel=0.2)
    assert (weight * weight.grad).sum() < 0


def test_muon_takes_the_hidden_layers_and_adam_the_rest():
    network = pointwise.make(3, width=16, depth=2)
    adam, muon = optimizers(network, Optimization(optimizer="muon"))
    sizes = [sum(len(group["params"]) for group in one.param_groups) for one in (adam, muon)]
    assert sizes == [len(list(network.parameters())) - 4, 4]
    assert len(optimizers(network, Optimization())) == 1
    with pytest.raises(ConfigError, match="wants a network that says which weights are hidden"):
        optimizers(nn.Linear(3, 3), Optimization(optimizer="muon"))


def test_a_kernel_moves_as_the_matrix_that_it_is():
    torch.manual_seed(0)
    kernel = torch.nn.Parameter(torch.randn(6, 4, 3, 3, 3))
    matrix = torch.nn.Parameter(kernel.detach().flatten(1).clone())
    for _ in range(3):
        gradient = torch.randn(6, 108)
        for weight in (kernel, matrix):
            weight.grad = gradient.view(weight.shape).clone()
            Muon([weight], lr=0.1, weight_decay=0.1).step()
    torch.testing.assert_close(kernel.detach().flatten(1), matrix.detach())
