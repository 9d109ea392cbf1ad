"""Names that users of diffusers know a pipeline's options by, accepted beside ours."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch

STEPS, GENERATOR = "num_inference_steps", "generator"
NAMES = {STEPS: "steps", GENERATOR: "seed"}
"""Their names of our options."""


def with_diffusers_names(call: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method that knows its `steps` and `seed` as `num_inference_steps` and `generator`, too.

    A generator stands for the seed that it was made with (`initial_seed`): it is read, not advanced, so the same
    generator gives the same result twice. None is as if it were not given. An option that the method does not have
    stays unknown under its other name.

    Args:
        call: The method.
    """
    known = inspect.signature(call).parameters

    @functools.wraps(call)
    def renamed(*args: Any, **options: Any) -> Any:
        return call(*args, **_our_names(options, known))

    return renamed


def _our_names(options: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """Options by our names.

    Raises:
        TypeError: An option is given by both names, or a generator is none.
    """
    theirs = {name: ours for name, ours in NAMES.items() if name in options and ours in known}
    renamed = {name: value for name, value in options.items() if name not in theirs}
    for name, ours in theirs.items():
        if options[name] is None:
            continue
        if ours in renamed:
            raise TypeError(f"{ours} and {name} are two names of one option: give one of them")
        renamed[ours] = _seed(options[name]) if name == GENERATOR else options[name]
    return renamed


def _seed(generator: Any) -> int:
    """The seed that a generator was made with."""
    if not isinstance(generator, torch.Generator):
        raise TypeError(f"generator must be a torch.Generator, given a {type(generator).__name__}")
    return generator.initial_seed()
