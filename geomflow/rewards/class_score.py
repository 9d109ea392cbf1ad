"""How much a shape is of a class, by the shapes of a dataset that it is most like."""

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from geomflow.errors import ConfigError, RecordError
from geomflow.prep.manifest import class_names, record_files
from geomflow.records import load_record
from geomflow.rewards._grid import Grid, Score, integral, occupancy
from geomflow.steer.reward import Reward


def make(data: str, category: str, split: str = "train", most: int = 20, temperature: float = 0.02) -> Reward:
    """Return the logarithm of a class's probability, in nats, by the nearest shapes of each class.

    No classifier is learned. The distance of two shapes is the volume of what is in one of them alone; of each class
    its nearest shapes count, softly, and classes are weighed by exp(-distance / temperature).

    Args:
        data: Dataset folder made by `geomflow prep` with grids.
        category: The class that is wanted.
        split: Which shapes to take.
        most: How many of each class, the first ones.
        temperature: In the unit of volume of [-1, 1]^3.

    Raises:
        ConfigError: No such class, and the message lists those there are; or `most` or `temperature` is not positive.
        RecordError: The dataset cannot be read, or has no grids.
    """
    if most < 1 or not 0 < temperature < math.inf:
        raise ConfigError(f"most must be at least 1, temperature positive and finite, given {most} and {temperature}")
    known = sorted(set(class_names(data, split)))
    if category not in known:
        raise ConfigError(f"unknown class {category!r}: {data} has {', '.join(known) or 'none'}")
    grids = _grids(Path(data), split, most)
    examples = {label: torch.stack(grids[label]) for label in known}

    def class_score(sdf: Grid) -> Score:
        """(batch,) logarithms of probabilities."""
        likeness = [_likeness(sdf, grid, temperature) for grid in examples.values()]
        return torch.stack(likeness, 1).log_softmax(1)[:, known.index(category)]

    return class_score


def _grids(data: Path, split: str, most: int) -> dict[str, list[Tensor]]:
    """Distances at the nodes, a few of each class."""
    found: dict[str, list[Tensor]] = {}
    for file, label in zip(record_files(data, split), class_names(data, split), strict=True):
        shapes = found.setdefault(label, [])
        if len(shapes) < most:
            shapes.append(_grid(file))
    return found


def _grid(file: Path) -> Tensor:
    """Distances at the nodes of one record."""
    record = load_record(file, ("sdf_grid",))
    if record.sdf_grid is None:
        raise RecordError(f"{file}: has no sdf_grid; prepare the dataset with a resolution above 0")
    return torch.from_numpy(record.sdf_grid).float()


def _likeness(sdf: Grid, examples: Float[Tensor, "m x y z"], temperature: float) -> Score:
    """Log of the mean over a class's shapes of exp(-distance / temperature)."""
    fitted = F.interpolate(examples[None], size=sdf.shape[1:], mode="trilinear", align_corners=True)[0].to(sdf)
    inside, theirs = occupancy(sdf), occupancy(fitted)
    distances = torch.stack([integral((inside - one).abs()) for one in theirs], 1)
    return (-distances / temperature).logsumexp(1) - math.log(len(examples))
