"""Isolation: each mesh in a process that may hang, crash or eat memory without harm to the run or to other meshes."""

import contextlib
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import TimeoutError
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

from pebble import ProcessExpired, ProcessFuture, ProcessPool

from geomflow.prep.job import make_record
from geomflow.prep.manifest import Entry
from geomflow.prep.quality import flags
from geomflow.prep.recipe import Recipe
from geomflow.prep.sources import Source
from geomflow.records import ShapeRecord, encode_record
from geomflow.storage import open_folder
from geomflow.warp_runtime import wp

Make = Callable[[Source, Recipe, str], ShapeRecord]
"""Makes a record of a source by a recipe on a Warp device, as `make_record` does."""

ATTEMPTS = 2
"""How often a mesh is tried whose process dies."""

GIB = 1 << 30


@dataclass(frozen=True)
class Limits:
    """What a mesh may use: seconds, and GiB of memory of its process.

    Attributes:
        timeout: Seconds after which a mesh is given up.
        memory: GiB that its process may use.
    """

    timeout: float = 120.0
    memory: float = 4.0


@dataclass(frozen=True)
class Task:
    """One mesh to do.

    Attributes:
        source: The mesh.
        recipe: Options of its record.
        out: Dataset folder or its URL.
        made_from: Fingerprint of the source when it was listed.
        device: `cpu`, `cuda`, or `auto` for CUDA where the process finds a GPU.
        make: What makes the record.
    """

    source: Source
    recipe: Recipe
    out: str
    made_from: str
    device: str = "auto"
    make: Make = make_record


class Result(NamedTuple):
    """What became of a mesh, and its record's bytes where other processes cannot write them."""

    entry: Entry
    content: bytes | None = None


class Isolation:
    """Processes under limits, each of which does one task at a time.

    Args:
        workers: Number of processes.
        limits: What each task may use.
    """

    def __init__(self, workers: int, limits: Limits) -> None:
        self._workers, self._limits = workers, limits
        self._running: set[ProcessFuture] = set()
        self._lock, self._stopped = threading.Lock(), False
        self._pool = _make_pool(workers, limits)

    def run(self, task: Task) -> Result:
        """Return what became of a task, whatever happens in its process; one that dies is given a second chance.

        Args:
            task: The mesh and what to do with it.
        """
        error = ""
        for _ in range(ATTEMPTS):
            future = self._schedule(task)
            try:
                return future.result()
            except TimeoutError:
                return failure(task, f"Timeout: not done after {self._limits.timeout:g} s")
            except ProcessExpired as cause:
                error = f"Crash: the process died {ATTEMPTS} times, with exit code {cause.exitcode}"
            except Exception as cause:  # the pool itself broke: what tasks raise comes back as a result
                error = f"Crash: {type(cause).__name__}: {' '.join(str(cause).split())}"
            finally:
                self._running.discard(future)
        return failure(task, error)

    def stop(self) -> None:
        """End all processes and whatever waits for them."""
        with self._lock:
            self._stopped = True
            for future in tuple(self._running):
                future.cancel()
            self._pool.stop()
        self._pool.join()

    def _schedule(self, task: Task) -> ProcessFuture:
        with self._lock:
            if not self._pool.active and not self._stopped:
                self._pool = _make_pool(self._workers, self._limits)
            future = self._pool.schedule(_work, args=[task, self._limits], timeout=self._limits.timeout)
            self._running.add(future)
            return future


def _make_pool(workers: int, limits: Limits) -> ProcessPool:
    """A pool of processes under a memory limit; CUDA does not survive a fork, so with a GPU they start afresh."""
    context = get_context("spawn" if wp.is_cuda_available() else None)
    return ProcessPool(workers, initializer=_limit_memory, initargs=[limits.memory], context=context)


def failure(task: Task, error: str) -> Result:
    """Return the result of a task that failed.

    Args:
        task: The mesh and what to do with it.
        error: Why it failed.
    """
    return Result(_entry(task, "failed", error=error))


def _entry(task: Task, status: str, **facts: Any) -> Entry:
    source = task.source
    about = {"path": source.path, "recipe_hash": task.recipe.hash, "made_from": task.made_from, **facts}
    return Entry(source.id, status, source.class_name, source.split, **about)


def _limit_memory(gibibytes: float) -> None:
    """Let allocations beyond a limit fail, where the system can do that; what a fork brought along does not count."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        limit = _held() + int(gibibytes * GIB)
        limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def _held() -> int:
    """Bytes of data that this process has from its start, as Linux counts them for the limit."""
    status = Path("/proc/self/status")
    found = re.search(r"VmData:\s+(\d+) kB", status.read_text()) if status.is_file() else None
    return int(found[1]) << 10 if found else 0


def _work(task: Task, limits: Limits) -> Result:
    """Make and save one record, inside the process; what goes wrong there comes back as a result."""
    try:
        return _saved(task)
    except MemoryError:
        return failure(task, f"OutOfMemory: wanted more than {limits.memory:g} GiB")
    except Exception as cause:  # whatever it is, only this mesh is lost
        return failure(task, f"{type(cause).__name__}: {' '.join(str(cause).split())}")


def _saved(task: Task) -> Result:
    source, recipe, start, folder = task.source, task.recipe, time.perf_counter(), open_folder(task.out)
    record = task.make(source, recipe, _device(task.device))
    file, content = Path("records", source.class_name, f"{source.id}.safetensors").as_posix(), encode_record(record)
    if folder.shared:
        folder.write(file, content)
    quality = record.header.quality
    entry = _entry(
        task,
        "done",
        seconds=round(time.perf_counter() - start, 3),
        file=file,
        sha256=record.header.sha256,
        flags=flags(quality),
        doubt=quality.get("doubt", 0.0),
    )
    return Result(entry, None if folder.shared else content)


def _device(wanted: str) -> str:
    return wanted if wanted != "auto" else "cuda" if wp.is_cuda_available() else "cpu"
