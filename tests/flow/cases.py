"""The formulations that every flow test runs on: the shelf, its variants, and files outside the package.

A formulation of your own passes the same tests: GEOMFLOW_FORMULATIONS="my_project.trigflow" python -m pytest tests/flow
"""

import os
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from geomflow import shelves
from geomflow.flow import FlowBatch, FlowMap, Formulation, Identity
from tests.flow.oracles import ExactField, Gaussian, Mixture

STRANGERS = ["docs.examples.trigflow", *os.environ.get("GEOMFLOW_FORMULATIONS", "").split()]
CASES: dict[str, tuple[str, dict[str, Any]]] = {name: (name, {}) for name in shelves.names("formulations") + STRANGERS}
CASES["ddim-linear"] = "ddim", {"schedule": "linear"}
CASES["ddim-noise"] = "ddim", {"predicts": "noise"}

every = pytest.mark.parametrize("name", CASES)


def load(name: str) -> Formulation:
    """A formulation by the name of its case."""
    item, options = CASES[name]
    return shelves.load("formulations", item, **options)


def bare(name: str) -> Formulation:
    """The same without preconditioner, so that a network is the field."""
    return replace(load(name), preconditioner=Identity())


def exact(name: str, mixture: Mixture, steps: int = 60) -> FlowMap:
    """The exact flow map of a distribution: in closed form for a Gaussian, integrated otherwise."""
    formulation = bare(name)
    if isinstance(mixture, Gaussian):
        return FlowMap(ExactField(mixture, formulation, mixture.exact_map(formulation.path)), formulation)

    def psi(x: Tensor, t: Tensor, r: Tensor) -> Tensor:
        return mixture.integrate(formulation.path, x, t, r, steps)

    return FlowMap(ExactField(mixture, formulation, psi), formulation)


def jump_batch(formulation: Formulation, mixture: Mixture, count: int = 64, ratios: tuple = (5.0, 0.5)) -> FlowBatch:
    """Jumps between two noise-to-signal ratios."""
    generator = torch.Generator().manual_seed(0)
    data = mixture.draw(count, generator)
    noise = torch.randn(data.shape, generator=generator, dtype=torch.float64)
    t, r = formulation.path.time(torch.tensor(ratios, dtype=torch.float64))
    return FlowBatch(data, noise, t.repeat(count), r.repeat(count))


def mean_pairs(formulation: Formulation, mixture: Mixture, batch: FlowBatch) -> FlowBatch:
    """The batch with each pair replaced by its posterior mean at the same x_t, so that targets lose their noise."""
    x = formulation.x_t(batch.data, batch.noise, batch.t)
    data, noise = mixture.expectations(formulation.path, x, batch.t)
    return replace(batch, data=data, noise=noise)
