"""How much a shape is of a class, by the shapes of a dataset that it is most like."""

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from geomflow.errors import ConfigError, RecordError
from geomflow.prep.manifest import class_names, record_files
from geomflow.records import load_record
from geomflow.rewards._grid import Grid, integral, occupancy


def make(data: str, name: str, split: str = "train", most: int = 20, temperature: float = 0.02) -> Callable:
    """Return the logarithm of a class's probability, in nats, by the nearest shapes of each class; no classifier is learned.

    The distance of two shapes is the volume of what is in one of them alone. Of each class the nearest of its shapes
    count, softly, and classes are weighed by exp(-distance / temperature).

    Args:
        data: Dataset folder made by `geomflow prep` with grids.
        name: The class that is wanted.
        split: Which shapes to take.
        most: How many of each class, the first ones.
        temperature: In the unit of volume of [-1, 1]^3.

    Raises:
        ConfigError: No such class; the message lists those there are.
        RecordError: The dataset cannot be read, or has no grids.
    """
    known = class_names(data, split)
    if name not in known:
        raise ConfigError(f"unknown class {name!r}: {data} has {', '.join(known) or 'none'}")
    grids = _grids(Path(data), split, most)
    examples = {label: torch.stack(grids[label]) for label in known}

    def class_score(sdf: Grid):
        """(batch,) logarithms of probabilities."""
        likeness = [_likeness(sdf, grid, temperature) for grid in examples.values()]
        return torch.stack(likeness, 1).log_softmax(1)[:, known.index(name)]

    return class_score


def _grids(data: Path, split: str, most: int) -> dict[str, list[Tensor]]:
    """Distances at the nodes, a few of each class."""
    found: dict[str, list[Tensor]] = {}
    for file in record_files(data, split):
        record = load_record(file, ("sdf_grid",))
        if record.sdf_grid is None:
            raise RecordError(f"{file}: has no sdf_grid; prepare the dataset with a resolution above 0")
        shapes = found.setdefault(record.header.class_name, [])
        if len(shapes) < most:
            shapes.append(torch.from_numpy(record.sdf_grid).float())
    return found


def _likeness(sdf: Grid, examples: Grid, temperature: float) -> Float[Tensor, " batch"]:
    """Log of the mean over a class's shapes of exp(-distance / temperature)."""
    fitted = F.interpolate(examples[None], size=sdf.shape[1:], mode="trilinear", align_corners=True)[0].to(sdf)
    inside, theirs = occupancy(sdf), occupancy(fitted)
    distances = torch.stack([integral((inside - one).abs()) for one in theirs], 1)
    return (-distances / temperature).logsumexp(1) - torch.tensor(float(len(examples))).log()
