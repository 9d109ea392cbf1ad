"""Verb for skeletons: the joints of a surface."""

from pathlib import Path
from typing import Any

import tyro

from geomflow.commands._common import Device, say
from geomflow.errors import ConfigError, MeshDegenerate


def joints(
    model: tyro.conf.Positional[str],
    mesh: tyro.conf.Positional[Path],
    /,
    *,
    out: Path,
    steps: int = 5,
    seed: int = 0,
    picture: Path | None = None,
    device: Device = "cpu",
) -> None:
    """Predict the skeletal joints of a character's surface, in the mesh's own frame.

    Args:
        model: Checkpoint folder of a model of joints (preset `joints`), or the name of an embedded one.
        mesh: Mesh file of one character, +y up.
        out: .json file to write: joints, the parent of each (-1 for the root), how far its points are spread.
        steps: Jumps from noise to joints; any number works with any model.
        seed: Seed of the noise.
        picture: .png file to draw the surface and the skeleton into.
        device: Where to compute.

    Raises:
        ConfigError: A file that is written has another suffix.
        MeshDegenerate: The surface has no extent; the message names the file.
    """
    import json

    from geomflow.files import write_atomically
    from geomflow.geometry.read import read_surface
    from geomflow.pipelines.joints import JointPipeline

    if out.suffix.lower() != ".json":
        raise ConfigError(f"--out must be a .json file, given {out}")
    if picture and picture.suffix.lower() != ".png":
        raise ConfigError(f"--picture must be a .png file, given {picture}")
    surface = read_surface(mesh)
    try:
        found = JointPipeline.from_pretrained(model, device)(surface, steps, seed)
    except MeshDegenerate as error:
        raise MeshDegenerate(f"{mesh}: {error}") from error
    about = {"model": model, "mesh": mesh.name, **found.as_dict()}
    write_atomically(out, (json.dumps(about, indent=1) + "\n").encode())
    if picture:
        _draw(surface, found, picture)
    say(f"wrote {out}: {len(found.joints)} joints in {steps} steps, {sum(found.seconds.values()):.1f} s")


def _draw(surface: Any, found: Any, picture: Path) -> None:
    from geomflow.geometry.frame import normalize
    from geomflow.viz import render_skeleton, save_png

    unit, frame = normalize(surface)
    save_png(render_skeleton(unit, frame.apply(found.joints), found.parents, size=640), picture)
