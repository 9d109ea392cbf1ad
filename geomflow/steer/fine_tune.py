"""Fine-tuning on a reward: the map's own weights are changed so that its samples score higher, yet stay near.

    min  -E R(psi(z)) + beta E |psi(z) - psi_0(z)|^2

over the weights of psi, one or two jumps from noise to data, with psi_0 the map as it was and the square a mean over
the numbers of a sample. Step k draws its noise from a generator seeded with the seed and k, so a run that was stopped
and resumed ends as one that was not.
"""

import copy
import hashlib
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from jaxtyping import Float
from torch import Tensor

from geomflow.errors import CheckpointError, RewardError
from geomflow.files import check_folder, write_atomically
from geomflow.flow import FlowMap
from geomflow.flow.random import generator_of, normal
from geomflow.interrupts import interrupts
from geomflow.steer.look_ahead import chain
from geomflow.steer.reward import Reward, differentiable, name_of

STATE = "fine_tuning.pt"

SAVED_EVERY = 20
"""Steps between two states on disk."""

Progress = Callable[[int, int], None] | None
"""What is told of the steps done and of the steps in all."""


@dataclass(frozen=True)
class FineTuned:
    """A map after fine-tuning.

    Attributes:
        flow_map: The map.
        reward: Mean reward of each step's batch.
        distance: Mean square distance from the map as it was, of each step's batch.
    """

    flow_map: FlowMap
    reward: list[float]
    distance: list[float]


def fine_tune(
    flow_map: FlowMap,
    reward: Reward,
    folder: str | Path,
    shape: Sequence[int],
    steps: int = 100,
    batch: int = 8,
    jumps: int = 1,
    beta: float = 1.0,
    learning_rate: float = 1e-4,
    seed: int = 0,
    condition: Any = None,
    resume: bool = False,
    progress: Progress = None,
) -> FineTuned:
    """Return a copy of a flow map, fine-tuned, its weights free; the given one stays as it is, frozen or not.

    The state is written to the folder every few steps and however the loop ends: Ctrl-C ends it after the step under
    way, and where a reward fails `resume` goes on from the last whole step.

    Args:
        flow_map: The map.
        reward: What is to be high, differentiable.
        folder: Where the state is kept.
        shape: Shape of one sample.
        steps: Updates in all.
        batch: Samples of an update.
        jumps: From noise to data, in training and as the map is to be used.
        beta: What a unit of mean square distance from the old map costs, in units of the reward.
        learning_rate: Of Adam.
        seed: Of the noise.
        condition: Passed to the network; rows for a whole batch.
        resume: Go on from the state in the folder; with the same condition, which the state does not know.
        progress: Called after every step with the steps done and the steps in all.

    Raises:
        CheckpointError: The folder holds a state and `resume` is not set, or none and it is, or that of another run.
        RewardError: The reward is no finite number per sample, or has no finite gradient.
        ValueError: `steps`, `batch` or `jumps` are no whole numbers of at least 1, `beta` is not finite or under 0,
            `learning_rate` is not positive and finite, or the folder cannot be written.
        KeyboardInterrupt: After Ctrl-C, once the state is written.
    """
    if not all(isinstance(number, int) and number >= 1 for number in (steps, batch, jumps)):
        raise ValueError(f"steps, batch and jumps must be whole numbers from 1 on, given {steps}, {batch} and {jumps}")
    if not (0 <= beta < math.inf and 0 < learning_rate < math.inf):
        raise ValueError(f"beta must be from 0 on, learning_rate positive, finite both, given {beta}, {learning_rate}")
    check_folder(Path(folder))
    settings = {"shape": list(shape), "batch": batch, "jumps": jumps, "beta": beta, "rate": learning_rate, "seed": seed}
    run = _Run(flow_map, Path(folder) / STATE, settings | {"reward": name_of(reward), "map": _hash(flow_map)})
    run.begin(resume)
    with interrupts() as interrupted:
        run.until(steps, reward, condition, progress, interrupted)
    if interrupted:
        raise KeyboardInterrupt
    return FineTuned(run.tuned, run.rewards, run.distances)


def _hash(flow_map: FlowMap) -> str:
    """Of the weights of a map."""
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in flow_map.state_dict().items()}
    return hashlib.sha256(safetensors.torch.save(weights)).hexdigest()


class _Run:
    """A fine-tuning under way."""

    def __init__(self, flow_map: FlowMap, file: Path, settings: dict[str, Any]) -> None:
        self.before, self.tuned = flow_map, copy.deepcopy(flow_map).requires_grad_()
        self.file, self.settings = file, settings
        self.weights = list(self.tuned.parameters())
        self.optimizer = torch.optim.Adam(self.weights, settings["rate"])
        self.rewards: list[float] = []
        self.distances: list[float] = []
        self.saved = 0

    @property
    def done(self) -> int:
        """Steps made."""
        return len(self.rewards)

    def begin(self, resume: bool) -> None:
        """Load the state, or see that there is none."""
        if not resume and self.file.exists():
            raise CheckpointError(f"{self.file}: exists; go on with resume=True, or choose another folder")
        if resume:
            self._restore()

    def until(self, steps: int, reward: Reward, condition: Any, progress: Progress, interrupted: list[int]) -> None:
        """Make steps until there are as many or there is an interrupt, and save them however that ends."""
        try:
            while self.done < steps and not interrupted:
                self.advance(reward, condition)
                if self.done % SAVED_EVERY == 0:
                    self.save()
                if progress is not None:
                    progress(self.done, steps)
        finally:
            self.save()

    def advance(self, reward: Reward, condition: Any) -> None:
        """Make one step, or none where the reward fails."""
        noise = self._noise()
        data = chain(self.tuned, noise, self.settings["jumps"], condition)
        with torch.no_grad():
            old = chain(self.before, noise, self.settings["jumps"], condition)
        value, distance = differentiable(reward, data).mean(), (data - old).square().mean()
        gradients = torch.autograd.grad(self.settings["beta"] * distance - value, self.weights, allow_unused=True)
        if not all(gradient.isfinite().all() for gradient in gradients if gradient is not None):
            raise RewardError(
                f"reward {name_of(reward)!r} must have a finite gradient, it has none at step {self.done}"
            )
        for weight, gradient in zip(self.weights, gradients, strict=True):
            weight.grad = gradient
        self.optimizer.step()
        self.rewards.append(float(value.detach()))
        self.distances.append(float(distance.detach()))

    def save(self) -> None:
        """Write the state, if it is a new one; the file appears whole or not at all."""
        if self.done == self.saved:
            return
        buffer = io.BytesIO()
        logs = {"rewards": self.rewards, "distances": self.distances, "settings": self.settings}
        torch.save({"weights": self.tuned.state_dict(), "optimizer": self.optimizer.state_dict(), **logs}, buffer)
        write_atomically(self.file, buffer.getvalue())
        self.saved = self.done

    def _noise(self) -> Float[Tensor, " batch *shape"]:
        like = next(self.tuned.parameters())
        shape = (self.settings["batch"], *self.settings["shape"])
        return normal(shape, generator_of(self.settings["seed"], self.done), like.dtype, like.device)

    def _restore(self) -> None:
        if not self.file.is_file():
            raise CheckpointError(f"{self.file}: no such file; there is nothing to resume")
        try:
            state = torch.load(self.file, map_location="cpu", weights_only=True)
            settings = dict(state["settings"])
        except Exception as error:  # torch raises whatever its unpickler met
            raise CheckpointError(f"{self.file}: truncated or not a state of fine-tuning ({error})") from error
        if changed := [name for name, value in self.settings.items() if settings.get(name) != value]:
            there, asked = ({name: of.get(name) for name in changed} for of in (settings, self.settings))
            raise CheckpointError(f"{self.file}: is of another run: {there} there, {asked} asked for")
        self.tuned.load_state_dict(state["weights"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.rewards, self.distances = state["rewards"], state["distances"]
        self.saved = self.done
