"""Preprocessing pipelines as users of other libraries write them: a mesh file in, a file of samples out."""

import importlib.util
import multiprocessing
import os
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier
from typing import NamedTuple

import numpy as np
import trimesh

CORES = 2
SIGMAS = (0.005, 0.02, 0.06)
THREADS = ("OMP_NUM_THREADS", "IGL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Size(NamedTuple):
    """Samples per mesh: `points` in the volume, as many near the surface, and `surface` on it."""

    points: int
    surface: int


class PointCloudUtils:
    """point-cloud-utils: closest points for the distance, a fast winding number above 1/2 for the sign."""

    def __init__(self, vertices: np.ndarray, faces: np.ndarray, threads: int = 0) -> None:
        self.vertices, self.faces = np.ascontiguousarray(vertices, np.float64), np.ascontiguousarray(faces, np.int32)

    @staticmethod
    def load(file: str) -> tuple[np.ndarray, np.ndarray]:
        """Vertices and faces of a file, by the fastest reader that reads all of it."""
        import point_cloud_utils as pcu

        return Trimesh.load(file) if file.endswith(".glb") else pcu.load_mesh_vf(file)

    def surface(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Points uniform on the surface (count, 3) and their normals."""
        import point_cloud_utils as pcu

        which, weights = pcu.sample_mesh_random(self.vertices, self.faces, count, random_seed=1)
        corners = self.vertices[self.faces[which]]
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        length = np.linalg.norm(normals, axis=1, keepdims=True)
        return np.einsum("nk,nkd->nd", weights, corners), normals / np.maximum(length, 1e-30)

    def signed_distance(self, points: np.ndarray) -> np.ndarray:
        """Signed distances (n,) at points (n, 3), negative inside."""
        import point_cloud_utils as pcu

        distance = np.reshape(pcu.closest_points_on_mesh(points, self.vertices, self.faces)[0], len(points))
        winding = np.reshape(pcu.triangle_soup_fast_winding_number(self.vertices, self.faces, points), len(points))
        return np.where(winding > 0.5, -distance, distance)


class Open3D:
    """Open3D: a ray casting scene's signed distance, whose sign is the parity of one ray."""

    def __init__(self, vertices: np.ndarray, faces: np.ndarray, threads: int = 0) -> None:
        import open3d

        self.core, self.scene, self.threads = open3d.core, open3d.t.geometry.RaycastingScene(), threads
        arrays = np.array(vertices, np.float32), np.array(faces, np.uint32)
        self.scene.add_triangles(*map(open3d.core.Tensor, arrays))
        self.mesh = open3d.geometry.TriangleMesh(
            open3d.utility.Vector3dVector(vertices), open3d.utility.Vector3iVector(np.asarray(faces, np.int32))
        )

    @staticmethod
    def load(file: str) -> tuple[np.ndarray, np.ndarray]:
        """Vertices and faces of a file, by the fastest reader that reads all of it."""
        import open3d

        if file.endswith(".obj"):  # Open3D's own reader leaves out polygons
            return PointCloudUtils.load(file)
        mesh = open3d.io.read_triangle_mesh(file)
        return np.asarray(mesh.vertices), np.asarray(mesh.triangles)

    def surface(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Points uniform on the surface (count, 3) and their normals."""
        cloud = self.mesh.sample_points_uniformly(count, use_triangle_normal=True)
        return np.asarray(cloud.points), np.asarray(cloud.normals)

    def signed_distance(self, points: np.ndarray) -> np.ndarray:
        """Signed distances (n,) at points (n, 3), negative inside."""
        asked = self.core.Tensor(np.ascontiguousarray(points, np.float32))
        return self.scene.compute_signed_distance(asked, nthreads=self.threads).numpy()


class Trimesh:
    """trimesh: closest points for the distance, `contains` for the sign."""

    def __init__(self, vertices: np.ndarray, faces: np.ndarray, threads: int = 0) -> None:
        self.mesh = trimesh.Trimesh(vertices, faces, process=False)

    @staticmethod
    def load(file: str) -> tuple[np.ndarray, np.ndarray]:
        """Vertices and faces of a file, by the fastest reader that reads all of it."""
        mesh = trimesh.load(file, force="mesh")
        return np.asarray(mesh.vertices), np.asarray(mesh.faces)

    def surface(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Points uniform on the surface (count, 3) and their normals."""
        points, which = trimesh.sample.sample_surface(self.mesh, count, seed=1)
        return np.asarray(points), self.mesh.face_normals[which]

    def signed_distance(self, points: np.ndarray) -> np.ndarray:
        """Signed distances (n,) at points (n, 3), negative inside."""
        distance = trimesh.proximity.closest_point(self.mesh, points)[1]
        return np.where(self.mesh.contains(points), -distance, distance)


Peer = type[PointCloudUtils] | type[Open3D] | type[Trimesh]

FAST: dict[str, Peer] = {"point-cloud-utils": PointCloudUtils, "Open3D": Open3D}
SLOW: dict[str, Peer] = {"trimesh": Trimesh} if importlib.util.find_spec("rtree") else {}
"""trimesh's queries need rtree."""


def job(peer: Peer, file: str, out: str, size: Size, threads: int) -> None:
    """One mesh file to one file of samples, as users of the library write it."""
    warnings.simplefilter("ignore")
    vertices, faces = peer.load(file)
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    unit = (vertices - (low + high) / 2) * (0.95 / ((high - low).max() / 2))
    tool, rng = peer(unit, faces, threads), np.random.default_rng(0)
    offsets = np.resize(SIGMAS, size.points)[:, None] * rng.standard_normal((size.points, 3))
    arrays = {"vertices": unit, "volume": rng.uniform(-1, 1, (size.points, 3))}
    arrays["surface"], arrays["normals"] = tool.surface(size.surface)
    arrays["near"] = np.clip(tool.surface(size.points)[0] + offsets, -1, 1)
    arrays |= {f"{name}_sdf": tool.signed_distance(arrays[name]) for name in ("volume", "near")}
    np.savez(out, faces=faces.astype(np.int32), **{name: array.astype(np.float32) for name, array in arrays.items()})


def run_peer(peer: Peer, processes: int, folder: Path, out: Path, size: Size) -> float:
    """Seconds for all meshes of a folder by a library, in processes that share the cores, once they are warm."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    threads, context = CORES // processes, multiprocessing.get_context("spawn")
    tasks = [(peer, str(file), str(out / f"{file.stem}.npz"), size, threads) for file in files]
    with environment(threads), context.Manager() as manager, context.Pool(processes) as pool:
        pool.starmap(warm_up, [(peer, threads, manager.Barrier(processes))] * processes, chunksize=1)
        start = time.perf_counter()
        pool.starmap(job, tasks, chunksize=1)
        return time.perf_counter() - start


def warm_up(peer: Peer, threads: int, barrier: Barrier) -> None:
    """One box by this process, which loads its libraries, and a wait for the others, so that each of them has one."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            box = Path(folder, "box.ply")
            trimesh.creation.box((1, 1, 1)).export(box)
            job(peer, str(box), str(Path(folder, "box.npz")), Size(10, 10), threads)
    finally:
        barrier.wait()


@contextmanager
def environment(threads: int) -> Iterator[None]:
    """Limit the threads of the libraries in processes started meanwhile."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, str(threads)))
    try:
        yield
    finally:
        for name in THREADS:
            del os.environ[name]
        os.environ.update({name: value for name, value in before.items() if value is not None})
