"""Executors: the cores of this machine, or a Dask cluster; the same tasks give the same bytes on either."""

import atexit
import multiprocessing
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

from geomflow.errors import GeomflowError
from geomflow.libraries import library
from geomflow.prep.isolation import Isolation, Limits, Result, Task, failure

ANSWER_SECONDS = 20
"""How long a scheduler may take to answer."""

AHEAD = 2
"""Tasks handed out per worker."""


def local(tasks: Iterable[Task], workers: int, limits: Limits) -> Generator[Result, None, None]:
    """Do tasks in processes of this machine.

    Args:
        tasks: What to do.
        workers: Number of processes.
        limits: What each task may use.
    """
    isolation = Isolation(workers, limits)
    threads = ThreadPoolExecutor(workers)  # each waits for one process
    try:

        def submit(task: Task) -> Any:
            return threads.submit(isolation.run, task)

        def first(futures: set[Any]) -> Any:
            return wait(futures, return_when=FIRST_COMPLETED)

        yield from _bounded(submit, first, tasks, lambda: workers)
    finally:
        isolation.stop()
        threads.shutdown(cancel_futures=True)


def dask(tasks: Iterable[Task], workers: int, limits: Limits, scheduler: str = "") -> Generator[Result, None, None]:
    """Do tasks on a Dask cluster, each in a process of its own beside the Dask worker.

    Args:
        tasks: What to do; the cluster must see the files and the folder to write to.
        workers: Number of Dask workers of a cluster on this machine, if no scheduler is given.
        limits: What each task may use.
        scheduler: Address of a running cluster, such as `tcp://host:8786`.

    Raises:
        GeomflowError: Dask is not installed, or no cluster answers at the address.
    """
    with _client(workers, scheduler) as client:
        import distributed

        def threads() -> int:  # which come and go
            return sum(client.nthreads().values())

        def submit(task: Task) -> Any:
            return client.submit(_in_worker, task, limits, pure=False, retries=0)

        def first(futures: set[Any]) -> Any:
            return distributed.wait(futures, return_when="FIRST_COMPLETED")

        yield from _bounded(submit, first, tasks, threads)


def _bounded(
    submit: Callable[[Task], Any], first: Callable[[set[Any]], Any], tasks: Iterable[Task], workers: Callable[[], int]
) -> Generator[Result, None, None]:
    """Results as they come, with `AHEAD` tasks handed out for each worker that there is."""
    running: dict[Any, Task] = {}
    for task in tasks:
        running[submit(task)] = task
        if len(running) >= AHEAD * max(1, workers()):
            yield from _done(first(set(running)).done, running)
    while running:
        yield from _done(first(set(running)).done, running)


def _done(futures: set[Any], running: dict[Any, Task]) -> Generator[Result, None, None]:
    for future in futures:
        task = running.pop(future)
        try:
            yield future.result()
        except Exception as cause:  # a Dask worker was lost, and the mesh with it
            yield failure(task, f"{type(cause).__name__}: {' '.join(str(cause).split())}")


@contextmanager
def _client(workers: int, scheduler: str) -> Iterator[Any]:
    """Give a client of the cluster at an address, or of one made here for as long as it is needed."""
    distributed = library("distributed", "the Dask engine", "geomflow[dask]")
    if not scheduler:
        options: dict[str, Any] = {"n_workers": workers, "threads_per_worker": 1, "dashboard_address": None}
        cluster: Any = distributed.LocalCluster(**options)
        with cluster, distributed.Client(cluster) as client:
            yield client
        return
    try:
        client = distributed.Client(scheduler, timeout=ANSWER_SECONDS)
    except (OSError, ValueError) as error:
        raise GeomflowError(f"{scheduler}: no Dask scheduler answers there ({error})") from error
    with client:
        yield client


def _in_worker(task: Task, limits: Limits) -> Result:
    """Do a task in the pool of this Dask worker."""
    return _isolation_of_worker(limits).run(task)


def _isolation_of_worker(limits: Limits) -> Isolation:
    """The processes of this Dask worker, one for each of its threads.

    Dask starts workers as daemons, which multiprocessing forbids to have children; so this one ceases to be one.
    """
    import distributed

    with _LOCK:
        if limits not in _ISOLATIONS:
            multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]
            _ISOLATIONS[limits] = Isolation(distributed.get_worker().state.nthreads, limits)
            atexit.register(_ISOLATIONS[limits].stop)
        return _ISOLATIONS[limits]


_ISOLATIONS: dict[Limits, Isolation] = {}
_LOCK = threading.Lock()
