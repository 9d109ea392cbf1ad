"""Many shapes at a time: one function over many jobs in processes, with a bar, and with results kept by content."""

import functools
import io
import signal
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from geomflow.errors import EvaluationError, GeomflowError
from geomflow.files import write_atomically
from geomflow.warp_runtime import wp

FEW = 4
"""Jobs that are not worth starting processes for."""

Arrays = dict[str, np.ndarray]
"""Result of a job: arrays and numbers by name."""


@dataclass(frozen=True)
class Options:
    """How an evaluation is carried out; beside seed, level and draws nothing here changes a number.

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
    found = {i: result for i, key in enumerate(keys) if (result := _read(options.cache, key)) is not None}
    todo = [i for i in range(len(jobs)) if i not in found]
    with _map(min(options.workers, len(todo)) if len(todo) > FEW else 1) as run:
        made = run(functools.partial(_kept, work, options.cache), [(jobs[i], keys[i]) for i in todo])
        found |= zip(
            todo, tqdm(made, what, len(todo), unit="shape", disable=not (options.progress and todo)), strict=True
        )
    return [found[i] for i in range(len(jobs))]


def _kept(work: Callable[[Any], Arrays], cache: Path | None, named: tuple[Any, str]) -> Arrays:
    """The result of a job, written to the cache as soon as it is there."""
    job, key = named
    try:
        result = work(job)
    except ValueError as error:
        path = str(getattr(job[0], "path", "")) if isinstance(job, tuple) else ""
        raise error if path in str(error) else EvaluationError(f"{path}: {error}") from error
    if cache is not None:
        content = io.BytesIO()
        np.savez(content, **result)  # pyright: ignore[reportArgumentType]
        write_atomically(cache / f"{key}.npz", content.getvalue())
    return result


@contextmanager
def _map(workers: int) -> Iterator[Any]:
    """Give a `map` that works in processes if there are to be several; with a GPU they start afresh."""
    if workers < 2:
        yield map
        return
    context = get_context("spawn" if wp.is_cuda_available() else None)
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_leave_interrupts) as pool:
        try:
            yield pool.map
        except BrokenProcessPool as error:
            raise GeomflowError(
                f"a process died while shapes were measured ({error}); fewer workers may help"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _leave_interrupts() -> None:
    """Ctrl-C is for the process that started the others, which then ends them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _read(cache: Path | None, key: str) -> Arrays | None:
    """A result that was kept, None if there is none or its file is damaged."""
    file = cache / f"{key}.npz" if cache is not None else None
    if file is None or not file.is_file():
        return None
    try:
        with np.load(file) as content:
            return dict(content)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return None
