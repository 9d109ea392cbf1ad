"""From a checkpoint to what it makes: the door to the pipelines, one for every kind of thing that models make."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from geomflow import assemble, checkpoint, shelves
from geomflow.call_names import with_diffusers_names
from geomflow.errors import CheckpointError

MODELS = Path(__file__).parent / "models"
DEFAULT_MODEL = "chairs"

Kind = TypeVar("Kind", bound="Pipeline")


class Pipeline:
    """A trained model, ready to generate; `Pipeline.from_pretrained` gives the kind that fits the model.

    Where a call has `steps` and `seed`, it takes them as diffusers' `num_inference_steps` and `generator`, too.

    Attributes:
        makes: What models of this kind make, and the command for it.
        model: The restored modules.
        saved: The checkpoint that they were restored from.
        device: The torch device that they are on.
    """

    makes = "something"

    def __init_subclass__(cls, **options: Any) -> None:
        """Lets the call of every kind of pipeline be made by the names of diffusers."""
        super().__init_subclass__(**options)
        if "__call__" in cls.__dict__:
            cls.__call__ = with_diffusers_names(cls.__call__)

    def __init__(self, model: Any, saved: checkpoint.Checkpoint, device: str) -> None:
        self.model, self.saved, self.device = model, saved, device

    @classmethod
    def from_pretrained(cls: type[Kind], name: str | Path = DEFAULT_MODEL, device: str = "cpu") -> Kind:
        """Return the pipeline of an embedded model or of a checkpoint folder.

        Args:
            name: One of `pretrained_names()`, or a folder that `geomflow train` or `geomflow fit` wrote.
            device: A torch device name.

        Raises:
            CheckpointError: No such model, or its files are missing, truncated, of a newer format, or of another kind
                than the class that is asked.
        """
        model, saved = assemble.restore(model_folder(name), device)
        pipeline = shelves.load("pipelines", model.makes, model=model, saved=saved, device=device)
        if not isinstance(pipeline, cls):
            raise CheckpointError(f"{name}: wanted a model that makes {cls.makes}, found one of {pipeline.makes}")
        return pipeline

    @property
    def classes(self) -> list[str]:
        """Names of the classes that the model can be asked for; none if it is not conditioned on them."""
        return list(self.saved.config.classes)

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Generate; what, and with which options, is said by the kind of pipeline."""
        raise NotImplementedError

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the model as a checkpoint folder that `from_pretrained` reads.

        Args:
            folder: Where the checkpoint goes; made if needed.

        Raises:
            OSError: The folder cannot be written or the disk is full.
        """
        checkpoint.save(folder, self.saved)


@dataclass
class Clock:
    """Adds up the wall time of named stages; what an inner stage takes is not the outer one's.

    Attributes:
        seconds: Seconds by the name of the stage.
        within: Seconds that inner stages of the present one have taken.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    within: float = 0.0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what is done inside.

        Args:
            name: Name of the stage.
        """
        start, before, self.within = time.perf_counter(), self.within, 0.0
        try:
            yield
        finally:
            spent = time.perf_counter() - start
            self.seconds[name] = self.seconds.get(name, 0.0) + spent - self.within
            self.within = before + spent

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function with its time counted as a stage's.

        Args:
            name: Name of the stage.
            function: The function.
        """

        def counted(*args: Any) -> Any:
            with self.stage(name):
                return function(*args)

        return counted


def model_folder(name: str | Path) -> Path:
    """Return the folder of an embedded model, or the folder itself.

    Args:
        name: Name of an embedded model, or a folder.

    Raises:
        CheckpointError: Neither exists.
    """
    if str(name) in pretrained_names():
        return MODELS / str(name)
    if not Path(name).is_dir():
        known = ", ".join(pretrained_names()) or "none"
        raise CheckpointError(f"{name}: neither a checkpoint folder nor an embedded model (embedded: {known})")
    return Path(name)


def pretrained_names() -> list[str]:
    """Return the names of the embedded models."""
    return sorted(path.parent.name for path in MODELS.glob(f"*/{checkpoint.CONFIG}"))
