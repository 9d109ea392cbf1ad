"""Verbs for the points of one shape: fit it, sample it."""

from pathlib import Path
from typing import Annotated, Literal

import tyro

from geomflow.commands._common import Device, say


def fit(
    mesh: tyro.conf.Positional[Path],
    /,
    *,
    out: Path,
    minutes: float = 5.0,
    formulation: str = "edm",
    objective: str = "semigroup",
    attributes: str = "",
    noise: str = "gaussian",
    seed: int = 0,
    stop_at: float = 0.0,
    resume: bool = False,
    device: Device = "cpu",
    settings: Annotated[dict[str, str] | None, tyro.conf.Suppress] = None,
) -> None:
    """Fit one shape: a sampler of its surface, in one to a few steps.

    Args:
        mesh: Mesh file, or a file of points.
        out: Run folder.
        minutes: How long to train, about.
        formulation: edm, x1_prediction, u_prediction or ddim (see `geomflow list formulations`).
        objective: semigroup, eulerian, ... (see `geomflow list objectives`).
        attributes: What to generate with the points, such as normals,colors (and labels).
        noise: Where points start: gaussian, box, sphere, or a mesh file.
        seed: Seed of everything random.
        stop_at: Chamfer distance in four steps, over its floor, at which to stop early; 0 for never.
        resume: Go on with the run in the folder, with its own settings.
        device: Where to train.
        settings: What was given as --section.key value.
    """
    from geomflow.fit import fit as run

    names = [name.strip() for name in attributes.split(",") if name.strip()]
    run(
        *(mesh, out, minutes),
        formulation=formulation,
        objective=objective,
        attributes=names,
        noise=noise,
        seed=seed,
        stop_at=stop_at,
        settings=settings,
        resume=resume,
        device=device,
    )
    say(f"wrote {out}; try: geomflow sample {out} --points 100000 --steps 4 --out points.ply")


def sample(
    run: tyro.conf.Positional[str],
    /,
    *,
    out: Path,
    points: int = 100_000,
    steps: int | Literal["auto"] = 4,
    seed: int = 0,
    from_mesh: Path | None = None,
    device: Device = "cpu",
) -> None:
    """Draw points of a fitted shape, with its attributes.

    Args:
        run: Folder that `geomflow fit` wrote.
        out: .ply or .npy file, written as points come.
        points: Number of points.
        steps: Jumps from noise to the surface; `auto` takes as few as make no difference.
        seed: Seed of the noise; the first points are the same whatever their number.
        from_mesh: Mesh whose surface the points start from, instead of the noise that was fitted.
        device: Where to compute.
    """
    from geomflow import shelves
    from geomflow.pipelines.points import PointPipeline

    pipeline = PointPipeline.from_pretrained(run, device)
    noise = shelves.load("noises", "mesh", file=str(from_mesh)) if from_mesh else None
    steps = pipeline.save(out, points, steps, seed, noise=noise, progress=True)
    say(f"wrote {points} points in {steps} steps to {out}")
