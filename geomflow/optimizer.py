"""Optimisers by name: AdamW for all weights, or Muon for the matrices of hidden layers and AdamW for the rest.

Muon moves a matrix by the orthogonal part of its momentum (Jordan et al., 2024), so that all its directions learn
alike. Where targets have no noise, as those of jumps, it needs half the steps of Adam or fewer. torch's own Muon
orthogonalises in bfloat16, which many CPUs emulate slowly; this one does it in the precision of the weights, all
matrices of a shape at once.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from geomflow.config import Optimization
from geomflow.errors import ConfigError

QUINTIC = (3.4445, -4.7750, 2.0315)
"""Coefficients of the Newton-Schulz iteration that is steepest at zero (Jordan et al.)."""

ROUNDS = 5
"""Iterations: singular values end between 0.7 and 1.2."""


def optimizers(module: nn.Module, options: Optimization) -> list[Optimizer]:
    """Return what updates the trainable weights of a module.

    Args:
        module: What is trained.
        options: Kind, rates and steps.

    Raises:
        ConfigError: Muon for a module none of whose parts says which of its weights are `hidden_weights`.
    """
    weights = [weight for weight in module.parameters() if weight.requires_grad]
    hidden = _hidden(module) if options.optimizer == "muon" else []
    ids = {id(weight) for weight in hidden}
    rest = [weight for weight in weights if id(weight) not in ids]
    settings: dict[str, Any] = {"lr": options.learning_rate, "weight_decay": options.weight_decay}
    adam = torch.optim.AdamW(rest, betas=(0.9, options.beta2), **settings)
    return [adam, Muon(hidden, **settings)] if hidden else [adam]


def _hidden(module: nn.Module) -> list[nn.Parameter]:
    found = [weight for part in module.modules() for weight in getattr(part, "hidden_weights", list)()]
    if not found:
        raise ConfigError("optimization.optimizer 'muon' wants a network that says which weights are hidden layers'")
    return found


class Muon(Optimizer):
    """Momentum, orthogonalised: W <- W - lr (0.2 sqrt(max(rows, columns)) U V^T + weight_decay W), for G = U S V^T.

    The factor gives an update the root-mean-square of Adam's, so that both share a learning rate (arXiv 2502.16982).

    Args:
        weights: Matrices, or kernels of convolutions, which are matrices from all they read to what they write.
        lr: Learning rate.
        momentum: Share of the past in the (Nesterov) momentum.
        weight_decay: Decoupled decay.
    """

    def __init__(
        self, weights: Iterable[nn.Parameter], lr: float, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        super().__init__(weights, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Update the weights by their gradients.

        Args:
            closure: Not supported; None.
        """
        for group in self.param_groups:
            by_shape = defaultdict[torch.Size, list[nn.Parameter]](list)
            for weight in group["params"]:
                if weight.grad is not None:
                    by_shape[weight.shape].append(weight)
            for shape, weights in by_shape.items():
                matrices = torch.stack([self._momentum(weight, group["momentum"]) for weight in weights]).flatten(2)
                size = 0.2 * max(matrices.shape[1:]) ** 0.5
                for weight, move in zip(weights, orthogonal(matrices), strict=True):
                    weight.mul_(1 - group["lr"] * group["weight_decay"])
                    weight.sub_(move.view(shape), alpha=group["lr"] * size)

    def _momentum(self, weight: nn.Parameter, share: float) -> Tensor:
        """Nesterov's look-ahead of the running mean of gradients."""
        assert weight.grad is not None
        mean = self.state[weight].setdefault("momentum", torch.zeros_like(weight))
        mean.lerp_(weight.grad, 1 - share)
        return weight.grad.lerp(mean, share)


def orthogonal(matrices: Tensor) -> Tensor:
    """Return about the orthogonal parts U V^T of matrices U S V^T (k, rows, columns): singular values are near 1.

    Args:
        matrices: Matrices S of any scale.
    """
    a, b, c = QUINTIC
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-12)
    for _ in range(ROUNDS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x
