"""Readers of the four layouts, written from docs/formats.md alone: what the other projects' loaders take from disk."""

import csv
from pathlib import Path

import numpy as np


def arrays(file: Path) -> dict[str, np.ndarray]:
    with np.load(file, allow_pickle=False) as data:
        return {name: data[name] for name in data.files}


def vecset(root: Path, category: str, split: str) -> dict[str, dict[str, np.ndarray]]:
    points = root / "ShapeNetV2_point" / category
    shapes = {}
    for line in (points / f"{split}.lst").read_text().split("\n"):
        name = line.replace(".npz", "")
        cloud = arrays(root / "ShapeNetV2_watertight" / category / "4_pointcloud" / f"{name}.npz")
        scale = np.load(points / f"{name}.npy").item()
        surface = cloud["points"].astype(np.float32) * scale
        shapes[name] = {**arrays(points / f"{name}.npz"), "surface": surface, "cloud": cloud}
    return shapes


def hunyuan(root: Path, split: str) -> dict[str, dict[str, np.ndarray]]:
    shapes = {}
    for folder in (root / split).iterdir():
        stem = folder / "geo_data" / folder.name
        shapes[folder.name] = {**arrays(Path(f"{stem}_surface.npz")), **arrays(Path(f"{stem}_sdf.npz"))}
    return shapes


def pointflow(root: Path, category: str, split: str) -> dict[str, np.ndarray]:
    folder = root / "ShapeNetCore.v2.PC15k" / category / split
    return {file.stem: np.load(file) for file in folder.iterdir() if file.suffix == ".npy"}


def unifi3d(root: Path, split: str) -> dict[str, dict[str, dict[str, np.ndarray]]]:
    with (root / "split.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == split]
    return {
        row["id"]: {file.stem: arrays(file) for file in (root / row["category"] / row["id"]).glob("*.npz")}
        for row in rows
    }
