"""Signs of damaged primitives and convergence of marching cubes, as Markdown tables.

python -m benchmarks.geometry --out docs/results
"""

import argparse
import time
from pathlib import Path

import numpy as np
import trimesh

from geomflow.geometry import SignedDistanceField, extract_mesh, sample_surface
from geomflow.geometry.primitives import Box, Capsule, Moved, RoundedCylinder, Solid, Sphere, Torus

SOLIDS: dict[str, Solid] = {
    "sphere": Sphere(),
    "box": Box(),
    "torus": Torus(),
    "capsule": Capsule(),
    "rounded cylinder": RoundedCylinder(),
    "moved sphere": Moved(Sphere(0.3), (0.4, -0.2, 0.1)),
}
POINTS, NEAR, FACETED = 50_000, 0.02, 2e-4


def damaged(mesh: trimesh.Trimesh, missing: float, flipped: float) -> trimesh.Trimesh:
    """The mesh with a share of its faces removed and a share turned round."""
    rng = np.random.default_rng(0)
    turn = rng.random(len(mesh.faces)) < flipped
    faces = np.where(turn[:, None], mesh.faces[:, ::-1], mesh.faces)
    return trimesh.Trimesh(mesh.vertices, faces[rng.random(len(faces)) >= missing], process=False)


def sign_row(name: str, solid: Solid, missing: float, flipped: float) -> str:
    """Distance error, wrong signs near the surface, and what confidence says of them."""
    mesh = solid.mesh()
    rng = np.random.default_rng(1)
    near = sample_surface(mesh, POINTS, 1).points + rng.normal(0, NEAR, (POINTS, 3))
    anywhere = rng.uniform(-1, 1, (POINTS, 3))
    field = SignedDistanceField(damaged(mesh, missing, flipped))
    start = time.perf_counter()
    found = field(near)
    seconds = time.perf_counter() - start
    exact = solid(near)
    wrong = (np.sign(found.distance) != np.sign(exact)) & (np.abs(exact) > FACETED)
    doubted = found.confidence < 0.5
    error = f"{np.abs(field(anywhere).distance - solid(anywhere)).max():.1e}" if missing == 0 else ""
    known = f"{100 * doubted[wrong].mean():.0f} %" if wrong.any() else "-"
    harm = f"{100 * missing:.0f} % missing, {100 * flipped:.0f} % flipped"
    return (
        f"| {name} | {harm} | {error} | {100 * wrong.mean():.3f} % | {known} | {100 * doubted.mean():.2f} % "
        f"| {seconds:.2f} |"
    )


def sign_table() -> list[str]:
    """Every solid whole, and the finely meshed ones damaged."""
    lines = [
        "| solid | damage | largest error in the cube | wrong signs near the surface | of these doubted "
        "| doubted in all | s for 50k points |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, solid in SOLIDS.items():
        lines.append(sign_row(name, solid, 0.0, 0.0))
        if name != "box":  # twelve faces: one missing is a missing side
            lines += [sign_row(name, solid, *harm) for harm in ((0.05, 0.0), (0.2, 0.0), (0.0, 0.2), (0.05, 0.2))]
    return lines


def extraction_table() -> list[str]:
    """Vertex error of a sphere of radius 0.8 against the square of the spacing."""
    lines = [
        "| samples per axis | largest vertex error | error / spacing^2 | shift of the centre | error of mean radius "
        "| field queries, share of dense |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for resolution in (64, 128, 256):
        asked = []

        def field(points: np.ndarray, asked: list[int] = asked) -> np.ndarray:
            asked.append(len(points))
            return Sphere(0.8)(points)

        vertices = np.asarray(extract_mesh(field, resolution).vertices)
        radius = np.linalg.norm(vertices, axis=1)
        error, spacing = np.abs(radius - 0.8).max(), 2 / (resolution - 1)
        shift = np.abs(vertices.max(axis=0) + vertices.min(axis=0)).max() / 2
        share = 100 * sum(asked) / resolution**3
        lines.append(
            f"| {resolution} | {error:.2e} | {error / spacing**2:.3f} | {shift:.1e} | {radius.mean() - 0.8:.1e} "
            f"| {share:.1f} % |"
        )
    return lines


def main() -> None:
    """Print both tables and, if asked, write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    text = (
        "\n".join(["## Signed distances", "", *sign_table(), "", "## Marching cubes", "", *extraction_table()]) + "\n"
    )
    print(text)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        command = "    python -m benchmarks.geometry --out docs/results\n"
        (options.out / "geometry.md").write_text(f"# Geometry against exact solids\n\n{command}\n{text}")


if __name__ == "__main__":
    main()
