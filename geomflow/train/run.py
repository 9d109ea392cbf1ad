"""The moving parts of a training, how they change in a step, and how they are saved and restored."""

import contextlib
import copy
import math
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from geomflow import assemble, checkpoint
from geomflow.checkpoint import Checkpoint
from geomflow.config import differences
from geomflow.errors import CheckpointError, TrainingError
from geomflow.files import FULL
from geomflow.interfaces import Batch
from geomflow.optimizer import optimizers
from geomflow.train import log
from geomflow.train.ahead import Ahead
from geomflow.train.average import Ema
from geomflow.train.ranks import Ranks
from geomflow.train.schedule import check_parts, learning_rate_factor, part_of_step, second_stage
from geomflow.train.sharding import averaging, gathered, load_moments, load_weights, whole, wrapped


class Run:
    """A training under way; its processes have the same weights and optimisers, and a share of the average each.

    If `optimization.sharded`, they have a share of weights and optimisers each, too.

    Args:
        parts: What is trained on what.
        out: Run folder, which the first process writes and all read.
        ranks: The processes.

    Raises:
        ConfigError: The parts of a step, or weights that should be, cannot be shared by the processes.
    """

    def __init__(self, parts: assemble.Training, out: Path, ranks: Ranks) -> None:
        self.options, self.config, self.parts = parts.config.optimization, parts.config, parts
        self.out, self.ranks = out, ranks
        check_parts(self.options, len(parts.dataset), ranks.count, parts.loss.modules())
        self.judged = copy.deepcopy(parts.model) if parts.judge else None  # which is copied while it is whole
        self.loss = wrapped(parts.loss, ranks, self.options.sharded)
        self.weights = [p for p in parts.trained.parameters() if p.requires_grad]
        self.optimizers = optimizers(parts.trained, self.options)
        # every process makes targets, of the whole average; and of sharded weights it has a share of every tensor
        by_itself = self.options.averaged_targets or self.options.sharded
        self.ema = Ema(parts.trained, self.options.ema, None if by_itself else ranks)
        self.device = self.weights[0].device
        self.data = Ahead(self._data, ranks.count)
        self.second_stage = second_stage(self.options)
        self.step, self.seconds, self.last_loss = 0, 0.0, math.nan
        self.saved_step: int | None = None
        self.saved_at = time.monotonic()
        self.scores: dict[str, float] = {}
        self.best = math.inf

    @property
    def done(self) -> bool:
        """Whether all steps are done, or the score is as good as asked for."""
        return self.step >= self.options.steps or self.best <= self.options.stop_at

    def close(self) -> None:
        """Prepare no further batch."""
        self.data.close()

    def advance(self) -> None:
        """Do one step of the optimiser, log it, and save when it is time to."""
        start = time.monotonic()
        if self.step == self.second_stage > 0:
            self._begin_second_stage()
        logs = self.change(self.step / self.options.steps)
        self.step += 1
        self.seconds += time.monotonic() - start
        self.last_loss = logs["loss"]
        if self.ranks.first:
            with self._room():
                log.append(self.out / log.LOG, {"step": self.step, **logs, "seconds": round(self.seconds, 3)})
        if self.step % self.options.save_every == 0:
            self.save()

    def _begin_second_stage(self) -> None:
        """Start anew from the average; targets stay those of the present one."""
        load_weights(self.parts.trained, self.ema.whole())
        self.optimizers = optimizers(self.parts.trained, self.options)

    def change(self, progress: float) -> dict[str, float]:
        """Change weights and average by one step; the loss before it and its parts, means over all processes.

        Args:
            progress: Share of all steps that are done, from 0 to 1.
        """
        logs = self._update(progress)
        self._average()
        return logs

    def _average(self) -> None:
        """Move the average, and give it to what makes targets in the first stage, if that is wanted."""
        second = self.step >= self.second_stage > 0
        self.ema.update(self.step + 1 - (self.second_stage if second else 0))
        target = getattr(self.parts.loss, "target_map", None)
        if target is not None and not second:
            target.load_state_dict(self.ema.whole())

    def _update(self, progress: float) -> dict[str, float]:
        """Change the weights by one step of the optimiser; the loss before it and its parts."""
        logs = self._gradients(progress)
        self._check(logs["loss"], "loss")
        for group in (group for optimizer in self.optimizers for group in optimizer.param_groups):
            group["lr"] = self.options.learning_rate * learning_rate_factor(self.step, self.options)
        norm = whole(torch.nn.utils.clip_grad_norm_(self.weights, self.options.clip))
        self._check(float(norm), "gradient norm")
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        return logs

    def _gradients(self, progress: float) -> dict[str, float]:
        """Leave the gradient of the mean loss over all parts of the step in the weights; that loss and its parts."""
        first = self.step * self.options.micro_batches
        mine = range(first + self.ranks.rank, first + self.options.micro_batches, self.ranks.count)
        rows = [self._part(number, progress, len(mine), last=number == mine[-1]) for number in mine]
        means = {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}
        return dict(zip(means, self.ranks.mean(list(means.values())), strict=True))

    def _part(self, number: int, progress: float, parts: int, last: bool) -> dict[str, float]:
        """Add one part's share to the gradients, which are averaged over the processes with the last part."""
        batch, generator = self.data(number)
        batch = {name: tensor.to(self.device) for name, tensor in batch.items()}
        with averaging(self.loss, now=last):
            with self._precision():
                loss, logs = self.loss(batch, progress, generator)
            (loss / parts).backward()
        return {"loss": float(loss.detach()), **logs}

    def _data(self, number: int) -> tuple[Batch, torch.Generator]:
        """The data of one part of a step, and the generator that its noise and times come from."""
        indices, generator = part_of_step(len(self.parts.dataset), self.options, number)
        return self.parts.dataset.batch(indices, generator), generator

    def _precision(self) -> contextlib.AbstractContextManager[Any]:
        low = self.options.precision == "bfloat16"
        return torch.autocast(self.device.type, torch.bfloat16) if low else contextlib.nullcontext()

    def _check(self, value: float, name: str) -> None:
        """Stop all processes, which have the same value, if it is no number."""
        if not math.isfinite(value):
            raise TrainingError(f"{name} is {value} at step {self.step} (seed {self.options.seed}); {self.last_saved}")

    @property
    def last_saved(self) -> str:
        """What there is to go on from, for messages."""
        saved = f"the last checkpoint in {self.out} is of step {self.saved_step}"
        return "no checkpoint was written before" if self.saved_step is None else saved

    def save(self, judged: bool = True) -> None:
        """Write the averaged model, unless an earlier one scored better, and everything needed to go on.

        Between checkpoints a task with scores is not judged, lest a run that is broken off has other scores than one
        that is not; its model is then written if there is none yet. The first process writes, the others wait for it.

        Args:
            judged: Whether a task with scores is judged now.

        Raises:
            TrainingError: The disk is full; files that were there before are as they were.
        """
        if self.saved_step == self.step:
            return
        average = self.ema.whole(wanted=self.ranks.first)
        moving = {"loss": self.parts.loss.state_dict(), "optimizers": [one.state_dict() for one in self.optimizers]}
        moving = gathered(moving, wanted=self.ranks.first)
        self.ranks.alone(lambda: self._write(average, moving, judged), self.ranks.first)
        self.best = self.ranks.of_first(self.best) if self.parts.judge else self.best
        self.saved_step, self.saved_at = self.step, time.monotonic()

    def _write(self, average: dict[str, Tensor], moving: dict[str, Any], judged: bool) -> None:
        averaged, model = self._averaged_model(average), None
        if self._is_best(averaged) if judged or self.parts.judge is None else self.saved_step is None:
            facts = {"step": self.step, **self.parts.facts, "training_seconds": round(self.seconds, 1), **self.scores}
            model = Checkpoint(self.config, facts, averaged)
        state = {"step": self.step, "seconds": self.seconds, "best": self.best, "ema": average, **moving}
        with self._room():
            checkpoint.save(self.out, model, state)

    @contextlib.contextmanager
    def _room(self) -> Iterator[None]:
        """Says of a full disk what is lost and what to do."""
        try:
            yield
        except OSError as error:
            if error.errno not in FULL:
                raise
            free = shutil.disk_usage(self.out).free >> 20
            raise TrainingError(
                f"{self.out}: the disk is full at step {self.step} ({free} MiB free); {self.last_saved}; "
                "make room and start it again with --auto-resume"
            ) from error

    def _is_best(self, averaged: dict[str, Tensor]) -> bool:
        """Whether no earlier model scored better; without a judge the latest is the best."""
        if self.parts.judge is None or self.judged is None:
            return True
        self.judged.load_state_dict(averaged)
        self.scores = self.parts.judge(self.judged)
        with self._room():
            log.append(self.out / log.SCORES, {"step": self.step, **self.scores})
        score = list(self.scores.values())[-1]
        better, self.best = score <= self.best, min(score, self.best)
        return better

    def begin(self, resume: bool) -> None:
        """Take up the saved state, or drop the logs of a run that was killed before its first checkpoint.

        Args:
            resume: Whether there is a saved state to take up.

        Raises:
            CheckpointError: The saved run had another configuration.
        """
        if resume:
            self._restore()
        self.ranks.alone(lambda: log.cut(self.out, self.step), self.ranks.first)

    def _restore(self) -> None:
        saved = checkpoint.load(self.out)
        changed = differences(saved.config, self.config)
        if changed:
            raise CheckpointError(f"{self.out}: holds a run with another configuration: {'; '.join(changed)}")
        state = checkpoint.load_state(self.out)
        self.step, self.seconds, self.saved_step = state["step"], state["seconds"], state["step"]
        self.best = state.get("best", math.inf)
        load_weights(self.parts.loss, state["loss"])
        self.ema.take(state["ema"])
        for optimizer, saved_optimizer in zip(self.optimizers, state["optimizers"], strict=True):
            load_moments(optimizer, saved_optimizer)

    def _averaged_model(self, average: dict[str, Tensor]) -> dict[str, Tensor]:
        """The whole model's tensors, the trained part replaced by its average."""
        prefix = next(name for name, module in self.parts.model.named_modules() if module is self.parts.trained)
        averaged = {f"{prefix}.{name}": tensor for name, tensor in average.items()}
        return {**self.parts.model.state_dict(), **averaged}
