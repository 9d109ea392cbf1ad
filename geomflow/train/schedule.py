"""What a step of a training is: its learning rate, its shapes, and the parts that its batch is cut into."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from geomflow.config import Optimization
from geomflow.errors import ConfigError
from geomflow.flow.random import generator_of


def learning_rate_factor(step: int, options: Optimization) -> float:
    """Return the factor on the peak learning rate: a linear warm-up, then half a cosine down to zero, in each stage.

    Args:
        step: Steps done before.
        options: They say how long the training, its warm-up and its stages are.
    """
    middle = second_stage(options)
    begin, end = (0, middle or options.steps) if step < middle or not middle else (middle, options.steps)
    warm = min(1.0, (step - begin + 1) / max(1, options.warmup))
    return warm * 0.5 * (1 + math.cos(math.pi * min(1.0, (step - begin) / max(1, end - begin))))


def second_stage(options: Optimization) -> int:
    """Return the step before which the second stage begins, 0 if there is none.

    Args:
        options: They say how long the training is and at which share of it the stage begins.
    """
    return math.ceil(options.second_stage * options.steps)


def data_order(count: int, options: Optimization, step: int) -> Tensor:
    """Return the shapes of one step: each pass over the data is a fresh permutation, cut into whole batches.

    Args:
        count: Shapes of the dataset.
        options: They have the batch size and the seed.
        step: Steps done before.
    """
    size = min(options.batch_size, count)
    epoch, batch = divmod(step, count // size)
    order = torch.randperm(count, generator=generator_of(options.seed + 1, epoch))
    return order[batch * size : (batch + 1) * size]


def part_of_step(count: int, options: Optimization, number: int) -> tuple[Tensor, torch.Generator]:
    """Return the shapes of one part of a step and its source of noise and times.

    Args:
        count: Shapes of the dataset.
        options: They say into how many parts a step is cut.
        number: Of the part, counted from the first step on.
    """
    step, part = divmod(number, options.micro_batches)
    shapes = data_order(count, options, step).tensor_split(options.micro_batches)[part]
    return shapes, generator_of(options.seed, number)


def check_parts(options: Optimization, count: int, processes: int, modules: Iterable[nn.Module]) -> None:
    """Refuse parts of a step that cannot be shared evenly, or that a loss would see in another order then.

    Args:
        options: They say into how many parts a step is cut.
        count: Shapes of the dataset.
        processes: How many processes share the parts.
        modules: All parts of the loss; those that say `remembers_batches` want to see whole batches one by one, those
            that say `copies_weights` want weights that are not sharded.

    Raises:
        ConfigError: The parts are no multiple of the processes, do not divide the batch, or must be one; or weights
            must not be sharded.
    """
    parts, size, modules = options.micro_batches, min(options.batch_size, count), list(modules)
    copier = _first_that(modules, "copies_weights")
    if copier and options.sharded:
        raise ConfigError(f"optimization.sharded must be false for {copier}, which copies weights within a step")
    memory = _first_that(modules, "remembers_batches")
    if memory and parts * processes > 1:
        raise ConfigError(
            f"optimization.micro_batches must be 1, in one process, for {memory}, which learns from earlier batches; "
            f"given {parts} in {processes}"
        )
    if parts % processes:
        raise ConfigError(f"optimization.micro_batches must be a multiple of the {processes} processes, given {parts}")
    if size % parts:
        raise ConfigError(f"optimization.micro_batches must divide the {size} items of a step, given {parts}")


def _first_that(modules: Iterable[nn.Module], says: str) -> str | None:
    """The kind of the first module that says something of itself."""
    return next((type(module).__name__ for module in modules if getattr(module, says, False)), None)
