"""Neighbourhood ops beside other libraries, in one process, as Markdown tables.

make bench-ops, or python -m benchmarks.ops --out docs/results

Each row asks all libraries the same question in turns, after a warm-up, and gives the median of the rounds. Building of
trees is part of the time. Libraries that are not installed are left out. With a CUDA device a second table is made.
"""

import argparse
import importlib
import importlib.metadata
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from geomflow import ops

Call = Callable[[], object]

PAUSE = 0.02
"""Seconds between calls, in which idle threads of the library before stop spinning."""

LIBRARIES = ("torch", "warp-lang", "scipy", "pykdtree", "open3d-cpu", "point-cloud-utils", "fpsample", "pytorch3d")


def optional(name: str):
    """A module, or None if it is not installed or does not load here."""
    try:
        return importlib.import_module(name)
    except (ImportError, OSError):
        return None


def medians(calls: dict[str, Call], rounds: int) -> dict[str, float]:
    """Median milliseconds of each call, all of them in turns."""
    spent: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(rounds):
        for name, call in calls.items():
            time.sleep(PAUSE)
            start = time.perf_counter()
            call()
            synchronize()
            spent[name].append(1e3 * (time.perf_counter() - start))
    return {name: float(np.median(times)) for name, times in spent.items()}


def synchronize() -> None:
    """Wait for the GPU, if there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def row(question: str, calls: dict[str, Call], rounds: int = 9) -> str:
    """A line of the table: our time, the others', and the ratio to the fastest of them."""
    ours, *others = (found := medians(calls, rounds)).items()
    text = ", ".join(f"{name} {ms:.3g}" for name, ms in others)
    fastest = min(
        found, key=lambda name: found[name] if name != ours[0] and not name.startswith("geomflow") else np.inf
    )
    line = f"| {question} | {ours[1]:.3g} | {text} | {ours[1] / found[fastest]:.2f} x {fastest} |"
    print(line, flush=True)
    return line


HEAD = ["| question | geomflow, ms | others, ms | ratio to the fastest other |", "| --- | --- | --- | --- |"]


def points(kind: str, count: int) -> torch.Tensor:
    """Test clouds (count, 3)."""
    random = torch.Generator().manual_seed(0)
    uniform = torch.rand((count, 3), generator=random)
    if kind == "uniform":
        return uniform
    if kind == "sphere":
        return torch.nn.functional.normalize(torch.randn((count, 3), generator=random), dim=1)
    if kind == "heavy tails":
        return torch.randn((count, 3), generator=random) * torch.randn((count, 1), generator=random).mul(3).exp()
    if kind == "lattice":
        return torch.randint(0, round(count ** (1 / 3)), (count, 3), generator=random).float()
    raise ValueError(kind)


def knn_others(clouds: torch.Tensor, k: int) -> dict[str, Call]:
    """Self-neighbours by the other libraries, cloud by cloud."""
    arrays = list(clouds.numpy())
    calls: dict[str, Call] = {}
    if optional("pykdtree.kdtree"):
        from pykdtree.kdtree import KDTree as Fast

        calls["pykdtree"] = lambda: [Fast(x).query(x, k) for x in arrays]
    from scipy.spatial import KDTree

    calls["scipy"] = lambda: [KDTree(x).query(x, k, workers=-1) for x in arrays]
    if open3d := optional("open3d"):
        calls["Open3D"] = lambda: [open3d_knn(open3d, x, x, k) for x in arrays]
    if pcu := optional("point_cloud_utils"):
        calls["point-cloud-utils"] = lambda: [pcu.k_nearest_neighbors(x, x, k) for x in arrays]
    return calls


def open3d_knn(open3d, x: np.ndarray, y: np.ndarray, k: int):
    """Neighbours of x in y by Open3D's nearest neighbour search."""
    search = open3d.core.nns.NearestNeighborSearch(open3d.core.Tensor(y))
    search.knn_index()
    return search.knn_search(open3d.core.Tensor(x), k)


def brute(x: torch.Tensor, y: torch.Tensor, k: int):
    """Neighbours by torch's table of distances."""
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist").topk(k, largest=False)


def knn_table() -> list[str]:
    """Neighbours of clouds in themselves."""
    lines = []
    for kind, count, k in (
        ("uniform", 16_384, 8),
        ("sphere", 16_384, 8),
        ("uniform", 100_000, 8),
        ("sphere", 100_000, 8),
        ("heavy tails", 100_000, 8),
        ("lattice", 100_000, 8),
    ):
        x = points(kind, count)[None]
        calls: dict[str, Call] = {"geomflow": lambda x=x, k=k: ops.knn_points(x, x, K=k)}
        calls["geomflow warp"] = lambda x=x, k=k: ops.knn_points(x, x, K=k, backend="warp")
        calls |= knn_others(x, k)
        if count < 20_000 and kind == "uniform":
            calls["torch cdist + topk"] = lambda x=x, k=k: brute(x, x, k)
        lines.append(row(f"{k} neighbours, {count:,} points, {kind}", calls, 5 if kind == "lattice" else 9))
    for batch, count, k in ((32, 2048, 16), (8, 512, 16), (1, 60, 8)):
        x = points("uniform", batch * count).view(batch, count, 3)
        calls = {"geomflow": lambda x=x, k=k: ops.knn_points(x, x, K=k)}
        calls["geomflow reference"] = lambda x=x, k=k: ops.knn_points(x, x, K=k, backend="reference")
        calls |= knn_others(x, k) | {"torch cdist + topk": lambda x=x, k=k: brute(x, x, k)}
        lines.append(row(f"{k} neighbours, {batch} clouds of {count:,}", calls))
    return lines


def chamfer_table() -> list[str]:
    """Chamfer distance of two samples of one surface, and of two unrelated clouds."""
    lines = []
    for kind, other in (("sphere", "sphere"), ("uniform", "uniform"), ("uniform", "sphere")):
        x, y = points(kind, 200_000)[:100_000], points(other, 200_000)[100_000:]
        a, b = x.numpy(), y.numpy()
        calls: dict[str, Call] = {"geomflow": lambda x=x, y=y: ops.chamfer_distance(x[None], y[None])}
        if optional("pykdtree.kdtree"):
            from pykdtree.kdtree import KDTree as Fast

            calls["pykdtree"] = lambda a=a, b=b: (Fast(a).query(b, 1), Fast(b).query(a, 1))
        from scipy.spatial import KDTree

        calls["scipy"] = lambda a=a, b=b: (KDTree(a).query(b, workers=-1), KDTree(b).query(a, workers=-1))
        if open3d := optional("open3d"):
            calls["Open3D"] = lambda a=a, b=b, o=open3d: (open3d_knn(o, a, b, 1), open3d_knn(o, b, a, 1))
        if pcu := optional("point_cloud_utils"):
            calls["point-cloud-utils"] = lambda a=a, b=b, p=pcu: p.chamfer_distance(a, b)
        lines.append(row(f"chamfer distance, 100,000 and 100,000 points, {kind} and {other}", calls, 7))
    return lines


def farthest_table() -> list[str]:
    """Farthest points; sequences are compared before they are timed."""
    lines = []
    for kind in ("uniform", "sphere"):
        x = points(kind, 100_000)
        ours = ops.sample_farthest_points(x[None], K=4096).idx[0]
        exact = "exact" if torch.equal(ours, naive_farthest(x, 4096)) else "NOT EXACT"
        calls: dict[str, Call] = {"geomflow": lambda x=x: ops.sample_farthest_points(x[None], K=4096)}
        if fpsample := optional("fpsample"):
            for h in (5, 7, 9):
                calls[f"fpsample h={h}"] = lambda x=x, h=h, f=fpsample: f.bucket_fps_kdline_sampling(
                    x.numpy(), 4096, h=h, start_idx=0
                )
        lines.append(row(f"4,096 farthest of 100,000 points, {kind} ({exact})", calls))
        start = time.perf_counter()
        naive_farthest(x, 4096)
        naive = 1e3 * (time.perf_counter() - start)
        lines.append(f"| the same by the definition in torch, once | | {naive:.4g} | |")
    x = points("uniform", 32 * 2048).view(32, 2048, 3)
    calls = {"geomflow": lambda: ops.sample_farthest_points(x, K=512)}
    if fpsample := optional("fpsample"):
        calls["fpsample h=3"] = lambda: [
            fpsample.bucket_fps_kdline_sampling(cloud, 512, h=3, start_idx=0) for cloud in x.numpy()
        ]
    lines.append(row("512 farthest of 32 clouds of 2,048", calls))
    return lines


def naive_farthest(x: torch.Tensor, k: int) -> torch.Tensor:
    """Farthest points by the definition."""
    nearest, chosen = torch.full((len(x),), torch.inf), [0]
    for _ in range(k - 1):
        nearest = torch.minimum(nearest, (x - x[chosen[-1]]).square().sum(1))
        chosen.append(int(nearest.argmax()))
    return torch.tensor(chosen)


LATENCY = """
import time, torch
start = time.perf_counter()
import geomflow.ops as ops
imported = time.perf_counter() - start
x = torch.rand(1, 5000, 3)
seconds = []
for call in (
    lambda: ops.knn_points(x, x, K=16),
    lambda: ops.knn_points(x, x, K=16, backend="warp"),
    lambda: ops.sample_farthest_points(x, K=64),
):
    start = time.perf_counter(); call(); seconds.append(time.perf_counter() - start)
print(imported, *seconds)
"""


def latency_table() -> list[str]:
    """First use in a fresh process, with an empty and a filled kernel cache."""
    lines = [
        "| kernel cache | import, after torch | knn_points, auto | knn_points, warp | sample_farthest_points |",
        "| --- | --- | --- | --- | --- |",
    ]
    with tempfile.TemporaryDirectory() as folder:
        for state in ("empty", "filled"):
            environment = {**os.environ, "WARP_CACHE_PATH": folder}
            command = [sys.executable, "-c", LATENCY]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
            lines.append(f"| {state} | {' | '.join(f'{float(part):.2f} s' for part in done.stdout.split())} |")
            print(lines[-1], flush=True)
    return lines


def cuda_table() -> list[str]:
    """The same questions on a GPU, beside PyTorch3D, torch-cluster and torch."""
    lines = []
    pytorch3d, cluster = optional("pytorch3d.ops"), optional("torch_cluster")
    for batch, count, k in ((1, 1_000_000, 16), (1, 100_000, 16), (32, 2048, 16), (8, 8192, 8), (64, 512, 3)):
        x = points("uniform", batch * count).view(batch, count, 3).cuda()
        calls: dict[str, Call] = {"geomflow": lambda x=x, k=k: ops.knn_points(x, x, K=k)}
        if pytorch3d:
            calls["PyTorch3D"] = lambda x=x, k=k: pytorch3d.knn_points(x, x, K=k)
        if cluster:
            flat, which = x.flatten(0, 1), torch.arange(batch, device="cuda").repeat_interleave(count)
            calls["torch-cluster"] = lambda f=flat, w=which, k=k: cluster.knn(f, f, k, w, w)
        if batch * count**2 < 2**31:
            calls["torch cdist + topk"] = lambda x=x, k=k: brute(x, x, k)
        lines.append(row(f"{k} neighbours, {batch} clouds of {count:,}", calls))
    for batch, count, k in ((1, 100_000, 4096), (32, 2048, 512), (16, 16_384, 1024)):
        x = points("uniform", batch * count).view(batch, count, 3).cuda()
        calls = {"geomflow": lambda x=x, k=k: ops.sample_farthest_points(x, K=k)}
        if pytorch3d:
            calls["PyTorch3D"] = lambda x=x, k=k: pytorch3d.sample_farthest_points(x, K=k)
        lines.append(row(f"{k:,} farthest, {batch} clouds of {count:,}", calls))
    return lines


def machine() -> str:
    """What the numbers were measured on."""
    versions = []
    for name in LIBRARIES:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU (kernels compiled for CUDA, not run)"
    where = f"{platform.machine()}, {torch.get_num_threads()} threads, {gpu}; Python {platform.python_version()}"
    return ", ".join([where, *versions])


def main() -> None:
    """Print all tables and, if asked, write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    parts = [machine(), "## CPU", "\n".join([*HEAD, *knn_table(), *chamfer_table(), *farthest_table()])]
    parts += ["## First use", "\n".join(latency_table())]
    if torch.cuda.is_available():
        parts += ["## CUDA", "\n".join([*HEAD, *cuda_table()])]
    text = "\n\n".join(parts) + "\n"
    print(text)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "ops.md").write_text(f"# Neighbourhood ops\n\n    make bench-ops\n\n{text}")


if __name__ == "__main__":
    main()
