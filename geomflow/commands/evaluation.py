"""Verbs that measure generated shapes and compare results."""

import os
from pathlib import Path

import tyro

from geomflow.commands._common import CORES, Device, say

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "geomflow" / "evaluate"
"""Where results are kept that cost time."""


def evaluate(
    generated: tyro.conf.Positional[Path],
    reference: tyro.conf.Positional[Path | None] = None,
    /,
    *,
    protocol: str = "pointflow",
    out: Path | None = None,
    train: Path | None = None,
    split: str = "",
    points: int = 0,
    distances: tuple[str, ...] = (),
    seed: int = 0,
    draws: int = 1000,
    workers: int = CORES,
    cache: Path | None = CACHE,
    device: Device = "cpu",
    any_frame: bool = False,
) -> None:
    """Measure generated shapes by a named protocol, with uncertainty; running it again goes on where it stopped.

    Args:
        generated: Folder of meshes or point files, dataset, or .npy of clouds (shapes, points, 3).
        reference: The same, to judge by; `solid` does without.
        protocol: pointflow, lion-box, recon-unit, geomdist, solid or fashion-mnist (docs/evaluation.md).
        out: JSON file to write.
        train: What the model was trained on: adds a control row and finds what the model remembers.
        split: Split of the reference dataset; test, if there is one and none is given.
        points: Points per shape; 0 takes the protocol's.
        distances: Distances between sets, chamfer and emd; none takes the protocol's.
        seed: Seed of everything random.
        draws: Resamples behind the intervals.
        workers: Number of processes.
        cache: Folder of what was measured before; None for none.
        device: Where earth mover's distances are computed.
        any_frame: Compare sets in different frames all the same.
    """
    from geomflow.metrics import Options
    from geomflow.metrics import evaluate as measure

    options = Options(
        seed, draws=draws, workers=workers, cache=cache, device=device, any_frame=any_frame, progress=True
    )
    found = measure(
        *(generated, reference, protocol), train=train, split=split, points=points, distances=distances, options=options
    )
    say(found.table())
    if out:
        found.save(out)
        say(f"wrote {out}")


def compare(files: tyro.conf.Positional[tuple[Path, ...]], /) -> None:
    """Print results of `evaluate` side by side; those of different protocols, frames or references are refused.

    Args:
        files: JSON files.
    """
    from geomflow.metrics import compare as side_by_side

    say(side_by_side(files))
