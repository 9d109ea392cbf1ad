"""Training: data to checkpoint, one resumable loop for every task.

Step k of a run depends only on the seed and on k: noise and times come from a generator seeded with both, the order of
shapes from one seeded with the epoch, so a resumed run repeats an uninterrupted one bit for bit on the CPU.
"""

import contextlib
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

logger = logging.getLogger("geomflow")

LOG = "log.jsonl"


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
        data: Dataset folder made by `geomflow prep`.
        out: Run folder: checkpoint, `log.jsonl` and training state.
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
    config = assemble.resolve_encoder(config)
    _refuse_overwriting(out, resume)
    run = _Run(config, assemble.training(config, data, device), out)
    if resume:
        run.restore()
    deadline = math.inf if minutes is None else time.monotonic() + 60 * minutes
    with _interrupts() as interrupted:
        for _ in _until(run, config.optimization.steps, deadline, interrupted, progress):
            run.advance()
        run.save()
    if interrupted:
        logger.warning("interrupted at step %d; saved to %s, go on with --resume", run.step, out)
        raise KeyboardInterrupt
    return out


def learning_rate_factor(step: int, options: Optimization) -> float:
    """Return the factor on the peak learning rate: a linear warm-up, then half a cosine down to zero."""
    warm = min(1.0, (step + 1) / max(1, options.warmup))
    return warm * 0.5 * (1 + math.cos(math.pi * min(1.0, step / options.steps)))


class Ema:
    """Exponential moving average of a module's parameters and buffers.

    The decay grows as (1 + n) / (10 + n) until it reaches its final value, so that early averages forget the start.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.average = {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Move the average towards the module's present values."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, tensor in module.state_dict().items():
            if tensor.is_floating_point():
                self.average[name].lerp_(tensor, 1 - decay)


class _Run:
    """The moving parts of a training, and how they are saved and restored."""

    def __init__(self, config: RunConfig, parts: assemble.Training, out: Path) -> None:
        self.options, self.config, self.parts, self.out = config.optimization, config, parts, out
        self.weights = [p for p in parts.trained.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            self.weights, lr=self.options.learning_rate, weight_decay=self.options.weight_decay
        )
        self.ema = Ema(parts.trained, self.options.ema)
        self.device = self.weights[0].device
        self.step, self.seconds, self.last_loss = 0, 0.0, math.nan
        self.saved_step: int | None = None

    def advance(self) -> None:
        """Do one step of the optimiser, log it, and save when it is time to."""
        start = time.monotonic()
        generator = torch.Generator().manual_seed(_seed(self.options.seed, self.step))
        loss, logs = self._loss(generator)
        self._check(loss, "loss")
        for group in self.optimizer.param_groups:
            group["lr"] = self.options.learning_rate * learning_rate_factor(self.step, self.options)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._check(torch.nn.utils.clip_grad_norm_(self.weights, self.options.clip), "gradient norm")
        self.optimizer.step()
        self.step += 1
        self.ema.update(self.parts.trained, self.step)
        self.seconds += time.monotonic() - start
        self.last_loss = float(loss.detach())
        self._log({"step": self.step, "loss": self.last_loss, **logs, "seconds": round(self.seconds, 3)})
        if self.step % self.options.save_every == 0:
            self.save()

    def _loss(self, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        indices = data_order(len(self.parts.dataset), self.options, self.step)
        batch = self.parts.dataset.batch(indices, generator)
        batch = {name: tensor.to(self.device) for name, tensor in batch.items()}
        with self._precision():
            return self.parts.loss(batch, self.step / self.options.steps, generator)

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

    def _log(self, row: dict[str, Any]) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        with (self.out / LOG).open("a") as file:
            file.write(json.dumps(row) + "\n")

    def save(self) -> None:
        """Write the averaged model and everything needed to go on."""
        facts = {"step": self.step, "shapes": len(self.parts.dataset), "training_seconds": round(self.seconds, 1)}
        checkpoint.save(self.out, Checkpoint(self.config, facts, self._averaged_model()))
        state = {
            "step": self.step,
            "seconds": self.seconds,
            "loss": self.parts.loss.state_dict(),
            "ema": self.ema.average,
            "optimizer": self.optimizer.state_dict(),
        }
        checkpoint.save_state(self.out, state)
        self.saved_step = self.step

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
        self.parts.loss.load_state_dict(state["loss"])
        self.ema.average = {name: tensor.to(self.device) for name, tensor in state["ema"].items()}
        self.optimizer.load_state_dict(state["optimizer"])
        _cut_log(self.out / LOG, self.step)

    def _averaged_model(self) -> dict[str, Tensor]:
        """The whole model's tensors, the trained part replaced by its average."""
        prefix = next(name for name, module in self.parts.model.named_modules() if module is self.parts.trained)
        averaged = {f"{prefix}.{name}": tensor for name, tensor in self.ema.average.items()}
        return {**self.parts.model.state_dict(), **averaged}


def data_order(count: int, options: Optimization, step: int) -> Tensor:
    """Return the shapes of one step: each pass over the data is a fresh permutation, cut into whole batches."""
    size = min(options.batch_size, count)
    epoch, batch = divmod(step, count // size)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(_seed(options.seed + 1, epoch)))
    return order[batch * size : (batch + 1) * size]


def _seed(seed: int, index: int) -> int:
    """One stream per (seed, index): multiplied by an odd constant so that neighbouring seeds share none."""
    return (seed * 0x9E3779B97F4A7C15 + index * 0xBF58476D1CE4E5B9) % (1 << 63)


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
        while run.step < steps and time.monotonic() < deadline and not interrupted:
            yield run.step
            bar.set_postfix(loss=f"{run.last_loss:.4f}", refresh=False)
            bar.update()


def _refuse_overwriting(out: Path, resume: bool) -> None:
    exists = (out / checkpoint.STATE).is_file()
    if exists and not resume:
        raise CheckpointError(f"{out}: holds a run already; go on with --resume, or choose another folder")
    if resume and not exists:
        raise CheckpointError(f"{out}: nothing to resume: no {checkpoint.STATE} in it")


def _cut_log(path: Path, step: int) -> None:
    """Drop lines that a killed run wrote after its last checkpoint; line k is that of step k, counted from one."""
    lines = path.read_text().splitlines() if path.is_file() else []
    write_atomically(path, "".join(f"{line}\n" for line in lines[:step]).encode())
