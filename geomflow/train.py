"""Training: data to checkpoint, one resumable loop for every task.

Step k of a run depends only on the seed and on k: noise and times come from a generator seeded with both, the order of
shapes from one seeded with the epoch, so a resumed run repeats an uninterrupted one bit for bit on the CPU.
"""

import contextlib
import copy
import json
import logging
import math
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from geomflow import assemble, checkpoint
from geomflow.checkpoint import Checkpoint
from geomflow.config import Optimization, RunConfig, differences
from geomflow.errors import CheckpointError, TrainingError
from geomflow.files import write_atomically
from geomflow.flow.random import generator_of
from geomflow.optimizer import optimizers

logger = logging.getLogger("geomflow")

LOG, SCORES = "log.jsonl", "scores.jsonl"

TRIED = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Parts of the training done at which steps are timed, as they cost more once there are jumps."""

TRIAL = 0.05
"""Share of a training's time in which they are timed; some steps do what others profit from, so it takes many."""

SPENT_ON_STEPS = 0.96
"""Share of the time left that steps take; the rest goes into scores and checkpoints."""


def train(
    config: RunConfig,
    data: str | Path,
    out: str | Path,
    minutes: float | None = None,
    resume: bool = False,
    device: str = "cpu",
    progress: bool = True,
) -> Path:
    """Train what the configuration describes and return the run folder, which `Pipeline.from_pretrained` reads.

    Ctrl-C and the end of the time budget end the step under way and save a checkpoint that `resume` goes on from.

    Args:
        config: What to train and how.
        data: Dataset folder made by `geomflow prep`; for the task `points` a file with one shape.
        out: Run folder: checkpoint, `log.jsonl`, training state and, if the task has a judge, `scores.jsonl`.
        minutes: Stop after this time, if the steps are not done before.
        resume: Go on from the state in `out`.
        device: A torch device name.
        progress: Whether to show a bar with loss and time left.

    Raises:
        TrainingError: The loss, or its gradient, is not finite; the message names step, seed and last checkpoint.
        CheckpointError: `out` holds another run, or there is nothing to resume.
        KeyboardInterrupt: After Ctrl-C, once the checkpoint is written.
    """
    out = Path(out)
    _refuse_overwriting(out, resume)
    run = _Run(assemble.training(config, data, device), out)
    if resume:
        run.restore()
    else:
        run.clear_logs()
    if run.done:
        logger.warning("%s: the training is done, with %d steps", out, run.step)
    deadline = math.inf if minutes is None else time.monotonic() + 60 * minutes
    with _interrupts() as interrupted:
        for _ in _until(run, config.optimization.steps, deadline, interrupted, progress):
            run.advance()
        run.save(judged=run.done)
    if interrupted:
        logger.warning("interrupted at step %d; saved to %s, go on with --resume", run.step, out)
        raise KeyboardInterrupt
    return out


def steps_in_time(config: RunConfig, data: str | Path, out: str | Path, minutes: float, device: str = "cpu") -> int:
    """Return how many steps of a run fit into a time, by the time that a few of them take here and now.

    Args:
        config: What would be trained, whatever its number of steps.
        data: What it would be trained on.
        out: Where it would be written; refused if it holds a run already, before any time is spent.
        minutes: The time, this trial included.
        device: A torch device name.

    Raises:
        CheckpointError: `out` holds a run.
    """
    _refuse_overwriting(Path(out), resume=False)
    deadline = time.monotonic() + 60 * minutes
    run = _Run(assemble.training(config, data, device), Path(out))
    for progress in TRIED:
        run.change(progress)
    start, done = time.monotonic(), 0
    while done < len(TRIED) or time.monotonic() - start < TRIAL * 60 * minutes:
        run.change(TRIED[done % len(TRIED)])
        done += 1
    seconds = (time.monotonic() - start) / done
    return max(1, int(SPENT_ON_STEPS * (deadline - time.monotonic()) / seconds))


def learning_rate_factor(step: int, options: Optimization) -> float:
    """Return the factor on the peak learning rate: a linear warm-up, then half a cosine down to zero, in each stage.

    Args:
        step: Number of the step, from 0.
        options: Steps, rates and stages.
    """
    middle = second_stage(options)
    begin, end = (0, middle or options.steps) if step < middle or not middle else (middle, options.steps)
    warm = min(1.0, (step - begin + 1) / max(1, options.warmup))
    return warm * 0.5 * (1 + math.cos(math.pi * min(1.0, (step - begin) / max(1, end - begin))))


def second_stage(options: Optimization) -> int:
    """Return the step before which the second stage begins, 0 if there is none.

    Args:
        options: Steps, rates and stages.
    """
    return math.ceil(options.second_stage * options.steps)


class Ema:
    """Exponential moving average of a module's parameters and buffers.

    The decay grows as (1 + n) / (10 + n) until it reaches its final value, so that early averages forget the start.

    Args:
        module: What is trained, whose weights the average begins with.
        decay: Share of the average that a step keeps, in the end.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.average = {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Move the average towards the module's present values.

        Args:
            module: What is trained.
            step: Number of the step, from 0.
        """
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, tensor in module.state_dict().items():
            if tensor.is_floating_point():
                self.average[name].lerp_(tensor, 1 - decay)


class _Run:
    """The moving parts of a training, and how they are saved and restored."""

    def __init__(self, parts: assemble.Training, out: Path) -> None:
        self.options, self.config, self.parts, self.out = parts.config.optimization, parts.config, parts, out
        self.weights = [p for p in parts.trained.parameters() if p.requires_grad]
        self.optimizers = optimizers(parts.trained, self.options)
        self.ema = Ema(parts.trained, self.options.ema)
        self.device = self.weights[0].device
        self.second_stage = second_stage(self.options)
        self.step, self.seconds, self.last_loss = 0, 0.0, math.nan
        self.saved_step: int | None = None
        self.scores: dict[str, float] = {}
        self.best = math.inf

    @property
    def done(self) -> bool:
        """Whether all steps are done, or the score is as good as asked for."""
        return self.step >= self.options.steps or self.best <= self.options.stop_at

    def advance(self) -> None:
        """Do one step of the optimiser, log it, and save when it is time to."""
        start = time.monotonic()
        if self.step == self.second_stage > 0:
            self._begin_second_stage()
        loss, logs = self.change(self.step / self.options.steps)
        self.step += 1
        self.seconds += time.monotonic() - start
        self.last_loss = float(loss)
        _append(self.out / LOG, {"step": self.step, "loss": self.last_loss, **logs, "seconds": round(self.seconds, 3)})
        if self.step % self.options.save_every == 0:
            self.save()

    def _begin_second_stage(self) -> None:
        """Start anew from the average; targets stay those of the present one."""
        self.parts.trained.load_state_dict(self.ema.average)
        self.optimizers = optimizers(self.parts.trained, self.options)

    def _average(self) -> None:
        """Move the average, and give it to what makes targets in the first stage, if that is wanted."""
        second = self.step >= self.second_stage > 0
        self.ema.update(self.parts.trained, self.step + 1 - (self.second_stage if second else 0))
        target = getattr(self.parts.loss, "target_map", None)
        if target is not None and not second:
            target.load_state_dict(self.ema.average)

    def change(self, progress: float) -> tuple[Tensor, dict[str, float]]:
        """Change weights and average by one step; the loss before it."""
        loss, logs = self._update(progress)
        self._average()
        return loss, logs

    def _update(self, progress: float) -> tuple[Tensor, dict[str, float]]:
        """Change the weights by one step of the optimiser; the loss before it."""
        loss, logs = self._loss(progress, generator_of(self.options.seed, self.step))
        self._check(loss, "loss")
        for group in (group for optimizer in self.optimizers for group in optimizer.param_groups):
            group["lr"] = self.options.learning_rate * learning_rate_factor(self.step, self.options)
        self.parts.trained.zero_grad(set_to_none=True)
        loss.backward()
        self._check(torch.nn.utils.clip_grad_norm_(self.weights, self.options.clip), "gradient norm")
        for optimizer in self.optimizers:
            optimizer.step()
        return loss.detach(), logs

    def _loss(self, progress: float, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        indices = data_order(len(self.parts.dataset), self.options, self.step)
        batch = self.parts.dataset.batch(indices, generator)
        batch = {name: tensor.to(self.device) for name, tensor in batch.items()}
        with self._precision():
            return self.parts.loss(batch, progress, generator)

    def _precision(self) -> contextlib.AbstractContextManager[Any]:
        low = self.options.precision == "bfloat16"
        return torch.autocast(self.device.type, torch.bfloat16) if low else contextlib.nullcontext()

    def _check(self, value: Tensor, name: str) -> None:
        if not torch.isfinite(value):
            saved = f"the last checkpoint in {self.out} is of step {self.saved_step}"
            raise TrainingError(
                f"{name} is {float(value.detach())} at step {self.step} (seed {self.options.seed}); "
                f"{'no checkpoint was written before' if self.saved_step is None else saved}"
            )

    def save(self, judged: bool = True) -> None:
        """Write the averaged model, unless an earlier one scored better, and everything needed to go on.

        Between checkpoints a task with scores is not judged, lest a run that is broken off has other scores than one
        that is not; its model is then written if there is none yet.
        """
        if self.saved_step == self.step:
            return
        averaged = self._averaged_model()
        if self._is_best(averaged) if judged or self.parts.judge is None else self.saved_step is None:
            facts = {"step": self.step, **self.parts.facts, "training_seconds": round(self.seconds, 1), **self.scores}
            checkpoint.save(self.out, Checkpoint(self.config, facts, averaged))
        state = {
            "step": self.step,
            "seconds": self.seconds,
            "best": self.best,
            "loss": self.parts.loss.state_dict(),
            "ema": self.ema.average,
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        }
        checkpoint.save_state(self.out, state)
        self.saved_step = self.step

    def _is_best(self, averaged: dict[str, Tensor]) -> bool:
        """Whether no earlier model scored better; without a judge the latest is the best."""
        if self.parts.judge is None:
            return True
        model = copy.deepcopy(self.parts.model)
        model.load_state_dict(averaged)
        self.scores = self.parts.judge(model)
        _append(self.out / SCORES, {"step": self.step, **self.scores})
        score = list(self.scores.values())[-1]
        better, self.best = score <= self.best, min(score, self.best)
        return better

    def clear_logs(self) -> None:
        """Drop what a run left that was killed before its first checkpoint."""
        for name in (LOG, SCORES):
            _cut(self.out / name, 0)

    def restore(self) -> None:
        """Take up a saved state.

        Raises:
            CheckpointError: The saved run had another configuration.
        """
        saved = checkpoint.load(self.out)
        changed = differences(saved.config, self.config)
        if changed:
            raise CheckpointError(f"{self.out}: holds a run with another configuration: {'; '.join(changed)}")
        state = checkpoint.load_state(self.out)
        self.step, self.seconds, self.saved_step = state["step"], state["seconds"], state["step"]
        self.best = state.get("best", math.inf)
        self.parts.loss.load_state_dict(state["loss"])
        self.ema.average = {name: tensor.to(self.device) for name, tensor in state["ema"].items()}
        for optimizer, saved_optimizer in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved_optimizer)
        for name in (LOG, SCORES):
            _cut(self.out / name, self.step)

    def _averaged_model(self) -> dict[str, Tensor]:
        """The whole model's tensors, the trained part replaced by its average."""
        prefix = next(name for name, module in self.parts.model.named_modules() if module is self.parts.trained)
        averaged = {f"{prefix}.{name}": tensor for name, tensor in self.ema.average.items()}
        return {**self.parts.model.state_dict(), **averaged}


def data_order(count: int, options: Optimization, step: int) -> Tensor:
    """Return the shapes of one step: each pass over the data is a fresh permutation, cut into whole batches.

    Args:
        count: How many shapes there are.
        options: Steps, rates and stages.
        step: Number of the step, from 0.
    """
    size = min(options.batch_size, count)
    epoch, batch = divmod(step, count // size)
    order = torch.randperm(count, generator=generator_of(options.seed + 1, epoch))
    return order[batch * size : (batch + 1) * size]


@contextlib.contextmanager
def _interrupts() -> Iterator[list[int]]:
    """Collect Ctrl-C in a list instead of breaking off in the middle of a step; a second one breaks off."""
    received: list[int] = []

    def remember(number: int, _frame: object) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)

    if threading.current_thread() is not threading.main_thread():  # only the main thread may handle signals
        yield received
        return
    before = signal.signal(signal.SIGINT, remember)
    try:
        yield received
    finally:
        signal.signal(signal.SIGINT, before)


def _until(run: _Run, steps: int, deadline: float, interrupted: list[int], progress: bool) -> Iterator[int]:
    """Count steps until they or the time are used up, or Ctrl-C was pressed."""
    with tqdm(total=steps, initial=run.step, desc=run.config.task, unit="step", disable=not progress) as bar:
        while not run.done and time.monotonic() < deadline and not interrupted:
            yield run.step
            shown = {"loss": f"{run.last_loss:.4f}", **{name: f"{score:.3g}" for name, score in run.scores.items()}}
            bar.set_postfix(shown, refresh=False)
            bar.update()


def _refuse_overwriting(out: Path, resume: bool) -> None:
    exists = (out / checkpoint.STATE).is_file()
    if exists and not resume:
        raise CheckpointError(f"{out}: holds a run already; go on with --resume, or choose another folder")
    if resume and not exists:
        raise CheckpointError(f"{out}: nothing to resume: no {checkpoint.STATE} in it")


def _append(path: Path, row: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(row) + "\n")


def _cut(path: Path, step: int) -> None:
    """Drop lines of later steps, which a killed run wrote after its last checkpoint, and one that it did not finish."""
    if not path.is_file():
        return
    kept = [line for line in path.read_text().splitlines() if line.endswith("}") and json.loads(line)["step"] <= step]
    write_atomically(path, "".join(f"{line}\n" for line in kept).encode())
