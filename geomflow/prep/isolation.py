"""Isolation: each mesh in a process that may hang, crash or eat memory without harm to the run or to other meshes."""

import contextlib
import time
from collections.abc import Callable
from concurrent.futures import TimeoutError
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

from pebble import ProcessExpired, ProcessPool

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
    """What a mesh may use: seconds, and GiB of memory of its process."""

    timeout: float = 120.0
    memory: float = 4.0


@dataclass(frozen=True)
class Task:
    """One mesh to do.

    Attributes:
        source: The mesh.
        recipe: Options of its record.
        out: Dataset folder or its URL.
        device: `cpu`, `cuda`, or `auto` for CUDA where the process finds a GPU.
        make: What makes the record.
    """

    source: Source
    recipe: Recipe
    out: str
    device: str = "auto"
    make: Make = field(default=make_record)


class Result(NamedTuple):
    """What became of a mesh, and its record's bytes where other processes cannot write them."""

    entry: Entry
    content: bytes | None = None


def make_pool(workers: int, limits: Limits) -> ProcessPool:
    """Return a pool of processes under a memory limit.

    CUDA does not survive a fork, so that with a GPU each process starts afresh.
    """
    context = get_context("spawn" if wp.is_cuda_available() else None)
    return ProcessPool(workers, initializer=_limit_memory, initargs=[limits.memory], context=context)


def isolated(pool: ProcessPool, task: Task, limits: Limits) -> Result:
    """Return what became of a task, whatever happens in its process; one that dies is given a second chance."""
    error = ""
    for _ in range(ATTEMPTS):
        try:
            return pool.schedule(_work, args=[task], timeout=limits.timeout).result()
        except TimeoutError:
            return failure(task, f"Timeout: not done after {limits.timeout:g} s")
        except MemoryError:
            return failure(task, f"OutOfMemory: wanted more than {limits.memory:g} GiB")
        except ProcessExpired as cause:
            error = f"Crash: the process died {ATTEMPTS} times, with exit code {cause.exitcode}"
        except Exception as cause:  # whatever it is, only this mesh is lost
            return failure(task, f"{type(cause).__name__}: {' '.join(str(cause).split())}")
    return failure(task, error)


def failure(task: Task, error: str) -> Result:
    """Return the result of a task that failed."""
    return Result(_entry(task, "failed", error=error, made_from=task.source.fingerprint()))


def _entry(task: Task, status: str, **facts: Any) -> Entry:
    source = task.source
    about = {"path": source.path, "recipe_hash": task.recipe.hash, **facts}
    return Entry(source.id, status, source.class_name, source.split, **about)


def _limit_memory(gibibytes: float) -> None:
    """Let allocations beyond a limit fail, where the system can do that."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        limit = int(gibibytes * GIB)
        limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def _work(task: Task) -> Result:
    """Make and save one record, inside the process."""
    source, recipe, start = task.source, task.recipe, time.perf_counter()
    made_from, folder = source.fingerprint(), open_folder(task.out)
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
        made_from=made_from,
        sha256=record.header.sha256,
        flags=flags(quality),
        doubt=quality.get("doubt", 0.0),
    )
    return Result(entry, None if folder.shared else content)


def _device(wanted: str) -> str:
    return wanted if wanted != "auto" else "cuda" if wp.is_cuda_available() else "cpu"
