"""The loop: steps until they, the time or the user's patience are used up, with checkpoints on the way."""

import contextlib
import logging
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from torch import distributed
from tqdm import tqdm

from geomflow import assemble, checkpoint
from geomflow.config import RunConfig
from geomflow.errors import CheckpointError, ConfigError, TrainingError
from geomflow.interrupts import interrupts
from geomflow.prep.fetch import local_dataset, place_here
from geomflow.train.ranks import Ranks, joined
from geomflow.train.run import Run

logger = logging.getLogger("geomflow")

Resume = bool | Literal["auto"]

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
    resume: Resume = False,
    device: str = "cpu",
    progress: bool = True,
    save_minutes: float | None = None,
) -> Path:
    """Train what the configuration describes and return the run folder, which `Pipeline.from_pretrained` reads.

    Ctrl-C, SIGTERM and the end of the time budget end the step under way and save a checkpoint that `resume` goes on
    from; a second Ctrl-C breaks off. Several processes, started by `torchrun` or `accelerate launch`, share the parts
    of each step (`optimization.micro_batches`) and take the same steps as one process does, up to the order of sums.

    Args:
        config: What to train and how.
        data: Dataset folder made by `geomflow prep`, folder of shards made by `geomflow pack`, or URL of either, which
            are copied to this disk first; for the task `points` a file with one shape.
        out: Run folder: checkpoint, `log.jsonl`, training state and, if the task has a judge, `scores.jsonl`. All
            processes must see it.
        minutes: Stop after this time, if the steps are not done before.
        resume: Go on from the state in `out`; "auto" does so if there is one and starts if not, which is what a job
            that may be restarted wants.
        device: A torch device name; `cuda` is each process' own GPU.
        progress: Whether to show a bar with loss and time left.
        save_minutes: Also save after this time; results do not depend on it.

    Raises:
        TrainingError: The loss, or its gradient, is not finite, the disk is full, or another process is gone; the
            message names the step and the last checkpoint.
        CheckpointError: `out` holds another run, or there is nothing to resume.
        ConfigError: The processes cannot share the parts of a step evenly, or the weights of what is trained.
        KeyboardInterrupt: After Ctrl-C or SIGTERM, once the checkpoint is written.
    """
    out = Path(out)
    deadline = math.inf if minutes is None else time.monotonic() + 60 * minutes
    with joined(device) as ranks:
        resuming = _resuming(out, resume, ranks)
        parts = assemble.training(config, _here(config, data, ranks, progress), ranks.device)
        with contextlib.closing(Run(parts, out, ranks)) as run, interrupts() as interrupted, _peers(run):
            run.begin(resuming)
            if run.done and ranks.first:
                logger.warning("%s: the training is done, with %d steps", out, run.step)
            for _ in _until(run, deadline, interrupted, progress):
                run.advance()
                _save_in_time(run, save_minutes)
            run.save(judged=run.done)
            stopped = ranks.any(bool(interrupted))
    if stopped:
        if ranks.first:
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
        ConfigError: Several processes would train, each of which measures another time.
    """
    deadline = time.monotonic() + 60 * minutes
    with joined(device) as ranks:
        if ranks.count > 1:
            raise ConfigError(f"--optimization.steps N is wanted for a training in {ranks.count} processes")
        _resuming(Path(out), False, ranks)
        with contextlib.closing(Run(assemble.training(config, data, ranks.device), Path(out), ranks)) as run:
            seconds = _seconds_per_step(run, TRIAL * 60 * minutes)
    return max(1, int(SPENT_ON_STEPS * (deadline - time.monotonic()) / seconds))


def _seconds_per_step(run: Run, seconds: float) -> float:
    """Time steps for so many seconds, after some that do not count."""
    for progress in TRIED:
        _try(run, progress)
    start, done = time.monotonic(), 0
    while done < len(TRIED) or time.monotonic() - start < seconds:
        _try(run, TRIED[done % len(TRIED)])
        done += 1
    return (time.monotonic() - start) / done


def _try(run: Run, progress: float) -> None:
    """A step that nobody keeps."""
    run.change(progress)
    run.step += 1


def _resuming(out: Path, resume: Resume, ranks: Ranks) -> bool:
    """Whether there is a state to go on from, as the first process sees it."""
    exists = ranks.any(ranks.first and (out / checkpoint.STATE).is_file())
    if exists and not resume:
        raise CheckpointError(f"{out}: holds a run already; go on with --resume, or choose another folder")
    if resume is True and not exists:
        raise CheckpointError(f"{out}: nothing to resume: no {checkpoint.STATE} in it")
    return exists


def _here(config: RunConfig, data: str | Path, ranks: Ranks, progress: bool) -> Path:
    """The data on this machine's disk, where one of its processes brings them."""
    split = config.dataset.options.get("split", "train")
    ranks.alone(lambda: local_dataset(data, split, progress=progress), ranks.first_here)
    return place_here(data)


def _until(run: Run, deadline: float, interrupted: list[int], progress: bool) -> Iterator[int]:
    """Count steps until they or the time are used up, or any process was told to stop."""
    shown = progress and run.ranks.first
    with tqdm(total=run.options.steps, initial=run.step, desc=run.config.task, unit="step", disable=not shown) as bar:
        while not run.done and not run.ranks.any(time.monotonic() >= deadline or bool(interrupted)):
            yield run.step
            scores = {name: f"{score:.3g}" for name, score in run.scores.items()}
            bar.set_postfix({"loss": f"{run.last_loss:.4f}", **scores}, refresh=False)
            bar.update()


def _save_in_time(run: Run, minutes: float | None) -> None:
    """Save if the last checkpoint is older than that, for the first process; the end is saved and judged by itself."""
    if (
        minutes is not None
        and not run.done
        and run.ranks.any(run.ranks.first and time.monotonic() - run.saved_at > 60 * minutes)
    ):
        run.save(judged=False)


@contextlib.contextmanager
def _peers(run: Run) -> Iterator[None]:
    """Says of a process that is gone what is lost and what to do."""
    try:
        yield
    except RuntimeError as error:
        lost = isinstance(error, distributed.DistError) or "gloo" in str(error)
        if run.ranks.count == 1 or not lost:
            raise
        raise TrainingError(
            f"another process of this training is gone at step {run.step}; {run.last_saved}; start all of them again "
            "with --auto-resume"
        ) from error
