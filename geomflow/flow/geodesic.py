"""Geodesic: the formulation of flow maps whose states lie on a manifold.

A path leads from noise to data along the shortest geodesic, x_t = exp_noise(kappa log_noise(data)) (Riemannian flow
matching, arXiv 2302.03660), and a jump along the geodesic of its cumulative field m, a tangent vector at x (generalised
flow maps, 2510.21608):

    psi_{t->r}(x) = exp_x((kappa_r - kappa_t) m(x, t, r)),        m(x, t, t) = dx / d kappa.

So a state never leaves the manifold, whatever the network says. In flat space this is u-prediction. kappa is the
path's progress: signal / (signal + sigma), brought to run from 0 to 1. On the straight path it is the clock; on another
it has the straight path's progress at the same ratio of noise to signal, so that parts of a ``Product`` keep pace.

What is linear elsewhere is not here: there are no P and Q, and what asks for them is refused.
"""

from dataclasses import dataclass, field
from typing import ClassVar, NoReturn

import torch
from jaxtyping import Float
from torch import Tensor

from geomflow.flow.formulation import Formulation, Prediction, per_sample
from geomflow.flow.manifold import Homogeneous, Manifold, check_points
from geomflow.flow.path import LinearPath, Path

LEAST_LEFT = 1e-6
"""Least part of a geodesic that is divided by."""
IMPOSSIBLE = -1e4
"""Log-likelihood of what cannot be, finite so that where rounding leaves nothing possible, other evidence decides."""

Field = Float[Tensor, " batch *shape"]
Times = Float[Tensor, " batch"]


class Curved:
    """What formulations on manifolds share: they have no coefficients of linear jumps, and fields that need care.

    Notation:
        - landing: states at r.
        - x: states at t.
        - t, r: times of departure and of arrival, one per sample, in [0, 1].

    Attributes:
        objectives: those that train it, for messages.
    """

    linear: ClassVar[bool] = False
    objectives: ClassVar[str] = "geodesic_semigroup, or semigroup with split='chain'"

    def field(self, landing: Field, x: Field, t: Times, r: Times, instant: Field | None = None) -> Field:
        """The field whose geodesic takes x to ``landing`` by the shortest way; the inverse of ``jump``.

        Every field makes an empty jump. The one that fields of ever shorter jumps tend to is the instantaneous one.

        Args:
            landing: states at r.
            x: states at t.
            t: times of departure.
            r: times of arrival.
            instant: the instantaneous field at x, which is given back, derivatives included, where r = t; without it
                rows there are not numbers.
        """
        if instant is None:
            return self._towards(landing, x, t, r)
        empty = t == r
        field = self._towards(landing, x, t, torch.where(empty, (t + 0.5) % 1, r))
        return torch.where(per_sample(empty.to(x), x) > 0, instant, field)

    def _towards(self, landing: Field, x: Field, t: Times, r: Times) -> Field:
        """The field of a jump that is not empty."""
        raise NotImplementedError

    def coefficients(self, t: Tensor, r: Tensor) -> NoReturn:
        """Refuses.

        Args:
            t: times of departure, of any shape.
            r: times of arrival, of any shape.

        Raises:
            TypeError: always, and says what to use.
        """
        raise TypeError(f"{type(self).__name__} has no linear jumps; on manifolds train with {self.objectives}")

    def rates(self, t: Tensor) -> NoReturn:
        """Refuses, as ``coefficients`` does.

        Args:
            t: times, of any shape.
        """
        self.coefficients(t, t)

    def data_and_noise(self, m: Tensor, x: Tensor, t: Tensor) -> NoReturn:
        """Refuses, as ``coefficients`` does.

        Args:
            m: fields, of any shape.
            x: states, of any shape.
            t: times, of any shape.
        """
        self.coefficients(t, t)


@dataclass(frozen=True)
class Geodesic(Curved, Formulation):  # pyright: ignore[reportIncompatibleMethodOverride]
    """Jumps along geodesics; the module docstring has the equations.

    Unit Gaussian noise is taken to the manifold by its ``project``: noise stays what it is for every flow map.

    Notation:
        - t, r: times of departure and of arrival, one per sample, in [0, 1].
        - output: what the network returns.
        - m: a field, tangent at x.
        - x, landing: states at t and at r, on the manifold.
        - data: clean samples, on the manifold.
        - noise: unit Gaussian noise in the manifold's coordinates.
        - ratio: sigma / signal, one per sample.
        - z: states where sigma / signal is ratio, as ``evidence`` makes them.

    Attributes:
        objectives: those that train it, for messages.
        path: the straight one by default; its ratio of noise to signal sets the progress.
        predicts: the velocity, and nothing else.
        manifold: where the states lie, in the coordinates of their last axis.
    """

    objectives: ClassVar[str] = "geodesic_lagrangian, geodesic_eulerian, " + Curved.objectives

    path: Path = field(default_factory=LinearPath)
    predicts: Prediction = "velocity"
    manifold: Manifold = field(kw_only=True)

    def __post_init__(self) -> None:
        """Refuses predictions that are no tangent vectors, and what is no manifold.

        Raises:
            ValueError: another prediction than the velocity.
            TypeError: no manifold.
        """
        super().__post_init__()
        if not isinstance(self.manifold, Manifold):
            raise TypeError(f"manifold must be one, as shelves.load('manifolds', ...) gives, given {self.manifold!r}")
        if self.predicts != "velocity":
            raise ValueError(f"predicts must be 'velocity' on a manifold, given {self.predicts!r}")

    def progress(self, t: Times) -> Times:
        """Kappa: the part of the geodesic that is done at a clock time."""
        first, last = self._share(torch.zeros_like(t)), self._share(torch.ones_like(t))
        return (self._share(t) - first) / (last - first)

    def pace(self, t: Times) -> Times:
        """The rate of kappa by the clock."""
        first, last = self._share(torch.zeros_like(t)), self._share(torch.ones_like(t))
        a, b = self.path.signal(t), self.path.sigma(t)
        return (self.path.signal_rate(t) * b - a * self.path.sigma_rate(t)) / (a + b) ** 2 / (last - first)

    def predicted(self, output: Field, x: Field, t: Times) -> Field:
        """The tangent part of a network's output."""
        return self.manifold.tangent(x, super().predicted(output, x, t))

    def jump(self, m: Field, x: Field, t: Times, r: Times) -> Field:
        """Where the geodesic of a field m takes x from t to r."""
        return self.manifold.exp(x, per_sample(self.progress(r) - self.progress(t), x) * self.manifold.tangent(x, m))

    def _towards(self, landing: Field, x: Field, t: Times, r: Times) -> Field:
        """The field of a jump that is not empty."""
        return self.manifold.log(x, landing) / per_sample(self.progress(r) - self.progress(t), x)

    def velocity(self, m: Field, x: Field, t: Times) -> Field:
        """The velocity dx/dt on the clock from an instantaneous field."""
        return per_sample(self.pace(t), x) * m

    def x_t(self, data: Field, noise: Field, t: Times) -> Field:
        """The state on the geodesic from noise to data.

        Raises:
            ValueError: data that do not lie on the manifold.
        """
        check_points(self.manifold, data, "data")
        start = self.start(noise)
        return self.manifold.exp(start, per_sample(self.progress(t), data) * self.manifold.log(start, data))

    def instantaneous_target(self, data: Field, noise: Field, t: Times) -> Field:
        """The velocity dx / d kappa of that geodesic at x_t, from the end that is further away."""
        x, done = self.x_t(data, noise, t), per_sample(self.progress(t), data)
        ahead = self.manifold.log(x, data) / (1 - done).clamp(min=0.5)
        behind = self.manifold.log(x, self.start(noise)) / done.clamp(min=0.5)
        return torch.where(done < 0.5, ahead, -behind)

    def evidence(self, data: Field, noise: Field, ratio: Times) -> Field:
        """The state where sigma / signal has a value."""
        return self.x_t(data, noise, self.path.time(ratio))

    def noise_behind(self, data: Field, z: Field, ratio: Times) -> Field:
        """The noise from which a geodesic leads through the state to data."""
        done = self.progress(self.path.time(ratio))
        behind = -done / (1 - done).clamp(min=LEAST_LEFT)
        return self.manifold.exp(z, per_sample(behind, z) * self.manifold.log(z, data))

    def log_likelihood(self, x: Field, data: Field, ratio: Times) -> Float[Tensor, " batch *points"]:
        """Logarithm of the density at x of states made of data and uniform noise, up to a number for each ratio.

        The state is at a part of the distance at which its noise is from data, and noise is as likely at a distance as
        the manifold has room there (its ``log_shell``); no noise is further away than half a turn.

        Args:
            x: states where sigma / signal is ratio.
            data: clean samples that may be behind them.
            ratio: sigma / signal, one per sample.

        Raises:
            TypeError: the manifold does not say how much room there is.
        """
        if not isinstance(self.manifold, Homogeneous):
            raise TypeError(
                f"manifold must have a log_shell for likelihoods, as sphere and rotations, given {self.manifold}"
            )
        left = (1 - self.progress(self.path.time(ratio))).clamp(min=LEAST_LEFT)
        angle = self.manifold.distance(x, data).clamp(min=LEAST_LEFT)
        far = angle / left.reshape(-1, *[1] * (angle.ndim - 1))
        return torch.where(far < torch.pi, self.manifold.log_shell(far) - self.manifold.log_shell(angle), IMPOSSIBLE)

    def start(self, noise: Field) -> Field:
        """The state at t = 0: noise, projected to the manifold."""
        return self.manifold.project(noise)

    def unstart(self, x: Field) -> Field:
        """A state at t = 0, which is its own noise."""
        return x

    def _share(self, t: Times) -> Times:
        """The share signal / (signal + sigma)."""
        signal = self.path.signal(t)
        return signal / (signal + self.path.sigma(t))
