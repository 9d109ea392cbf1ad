"""Many shapes at a time: one function over many jobs in processes, with a bar, and with results kept by content."""

import io
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from geomflow.errors import GeomflowError
from geomflow.files import write_atomically
from geomflow.warp_runtime import wp

FEW = 4
"""Jobs that are not worth starting processes for."""

Arrays = dict[str, np.ndarray]
"""Result of a job: arrays and numbers by name."""


@dataclass(frozen=True)
class Options:
    """How an evaluation is carried out; nothing here but seed, level and draws changes a number.

    Attributes:
        seed: Seed of everything random.
        level: Probability of intervals and bands.
        draws: Resamples and shuffles behind them.
        workers: Processes.
        cache: Folder of results that were made before, None for none.
        device: Where assignments are solved.
        any_frame: Whether sets in different frames are compared all the same.
        progress: Whether to show bars.
    """

    seed: int = 0
    level: float = 0.95
    draws: int = 1000
    workers: int = 1
    cache: Path | None = None
    device: str = "cpu"
    any_frame: bool = False
    progress: bool = False


def mapped(
    work: Callable[[Any], Arrays], jobs: Sequence[Any], keys: Sequence[str], what: str, options: Options
) -> list[Arrays]:
    """Return `work(job)` of every job, in order; results that the cache holds are read.

    Args:
        work: Function of a module, so that processes find it.
        jobs: What it is called with.
        keys: A name for each result that changes with all that the result depends on.
        what: Title of the bar.
        options: Processes, cache and progress.

    Raises:
        GeomflowError: A process died, for want of memory perhaps; what was done is in the cache.
    """
    found = [_read(options.cache, key) for key in keys]
    todo = [i for i, result in enumerate(found) if result is None]
    with _map(min(options.workers, len(todo)) if len(todo) > FEW else 1) as run:
        made = zip(todo, run(work, [jobs[i] for i in todo]), strict=True)
        for i, result in tqdm(made, what, len(todo), unit="shape", disable=not options.progress or not todo):
            found[i] = result
            _write(options.cache, keys[i], result)
    return [result for result in found if result is not None]


@contextmanager
def _map(workers: int) -> Iterator[Any]:
    """Give a `map` that works in processes if there are to be several; with a GPU they start afresh."""
    if workers < 2:
        yield map
        return
    context = get_context("spawn" if wp.is_cuda_available() else None)
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        try:
            yield pool.map
        except RuntimeError as error:
            raise GeomflowError(
                f"a process died while shapes were measured ({error}); fewer workers may help"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _read(cache: Path | None, key: str) -> Arrays | None:
    if cache is None or not (cache / f"{key}.npz").is_file():
        return None
    with np.load(cache / f"{key}.npz") as file:
        return dict(file)


def _write(cache: Path | None, key: str, result: Arrays) -> None:
    if cache is not None:
        content = io.BytesIO()
        np.savez(content, **result)  # pyright: ignore[reportArgumentType]
        write_atomically(cache / f"{key}.npz", content.getvalue())
