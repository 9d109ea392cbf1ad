"""The runner: many meshes to a dataset folder, resumable after anything, with a list of what failed and why."""

import contextlib
import csv
import functools
import io
import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tqdm import tqdm

from geomflow.prep import executors, manifest, report
from geomflow.prep.isolation import Limits, Make, Result, Task
from geomflow.prep.job import make_record
from geomflow.prep.manifest import Entry
from geomflow.prep.recipe import Recipe
from geomflow.prep.sources import Source, find_sources
from geomflow.storage import Folder, is_url, open_folder, sweep

logger = logging.getLogger("geomflow")

QUARANTINE = "quarantine.csv"
"""List of the meshes that failed: id, path and reason."""

Engine = Literal["local", "dask"]


@dataclass(frozen=True)
class Plan:
    """What a run will do.

    Attributes:
        todo: Meshes to make records of, with their fingerprints.
        kept: Meshes whose records are there.
        quarantined: Entries of meshes that failed before and have not changed since.
    """

    todo: list[tuple[Source, str]]
    kept: list[Source]
    quarantined: dict[str, Entry]


@dataclass(frozen=True)
class PrepSummary:
    """What a run did.

    Attributes:
        made: Records made now.
        kept: Records found from earlier runs.
        failed: Meshes of the source that have no record, failures of earlier runs included.
        reasons: Why, by id.
    """

    made: int
    kept: int
    failed: int
    reasons: dict[str, str]


def prepare(
    source: str | Path,
    out: str | Path,
    recipe: Recipe | None = None,
    workers: int = 1,
    timeout: float = 120.0,
    progress: bool = True,
    *,
    memory: float = 4.0,
    engine: Engine = "local",
    scheduler: str = "",
    device: str = "auto",
    resume: bool = True,
    retry: bool = False,
    pictures: bool = True,
    make: Make = make_record,
) -> PrepSummary:
    """Turn a folder, zip or CSV of meshes into a dataset folder of shape records.

    Running it again continues: records of the same recipe and of meshes that have not changed are kept, meshes that
    failed are left alone, everything else is done. Records of meshes that are no longer in the source stay.

    Args:
        source: See `find_sources`.
        out: Dataset folder, made if needed, or an fsspec URL such as `s3://bucket/set`.
        recipe: Options of the records.
        workers: Number of processes.
        timeout: Seconds after which a mesh is given up.
        progress: Whether to show a bar.
        memory: GiB of memory that the process of a mesh may use.
        engine: `local` for processes of this machine, `dask` for a cluster.
        scheduler: Address of a running Dask scheduler; without one, `dask` makes a cluster on this machine.
        device: `cpu`, `cuda`, or `auto` for CUDA where a worker has a GPU. The bytes of records are the same on any
            number of workers of one kind; a GPU may round distances differently.
        resume: Whether to keep the records that are there.
        retry: Whether to try again what failed before.
        pictures: Whether the report shows the most doubtful shapes, for which it takes up to 2 seconds.
        make: What makes a record of a source; it must be importable by the workers.

    Raises:
        RecordError: There is no mesh to prepare.
        ValueError: Less than one worker, or a time-out or memory that is not positive, or an unknown engine.
    """
    _check(workers, timeout, memory, engine, scheduler)
    recipe, folder, limits = recipe or Recipe(), open_folder(out), Limits(timeout, memory)
    plan = make_plan(source, out, recipe, resume, retry)
    place = str(out if is_url(out) else Path(out).absolute())  # workers may stand elsewhere
    tasks = (Task(item, recipe, place, made_from, device, make) for item, made_from in plan.todo)
    execute = executors.local if engine == "local" else functools.partial(executors.dask, scheduler=scheduler)
    with contextlib.closing(execute(tasks, workers, limits)) as results:
        failed = _collect(results, folder, len(plan.todo), progress)
    entries = manifest.read(out)
    folder.write(QUARANTINE, _listed(entries))
    folder.write(report.NAME, report.page(folder, entries, pictures))
    reasons = {name: entry.error for name, entry in sorted({**plan.quarantined, **failed}.items())}
    return PrepSummary(len(plan.todo) - len(failed), len(plan.kept), len(reasons), reasons)


def make_plan(source: str | Path, out: str | Path, recipe: Recipe, resume: bool = True, retry: bool = False) -> Plan:
    """Return what a run would do, without doing anything.

    Args:
        source: See `find_sources`.
        out: Dataset folder or URL, which need not exist.
        recipe: Options of the records.
        resume: Whether to keep the records that are there.
        retry: Whether to try again what failed before.

    Raises:
        RecordError: There is no mesh to prepare.
    """
    names = open_folder(out).names()
    known = manifest.read(out) if resume and manifest.NAME in names else {}
    plan = Plan([], [], {})
    for item in find_sources(source, recipe.clouds, recipe.rig):
        entry, made_from = known.get(item.id), item.fingerprint()
        if entry is None or (entry.recipe_hash, entry.made_from) != (recipe.hash, made_from):
            plan.todo.append((item, made_from))
        elif entry.file in names:
            plan.kept.append(item)
        elif entry.status == "failed" and not retry:
            plan.quarantined[item.id] = entry
        else:
            plan.todo.append((item, made_from))
    return plan


def reasons(summary: PrepSummary) -> dict[str, int]:
    """Return how often each kind of failure happened, the most frequent first.

    Args:
        summary: What became of a run.
    """
    return dict(Counter(reason.split(":")[0] for reason in summary.reasons.values()).most_common())


def _check(workers: int, timeout: float, memory: float, engine: str, scheduler: str) -> None:
    if workers < 1 or timeout <= 0 or memory <= 0:
        raise ValueError(
            f"workers must be at least 1, timeout and memory positive, given {workers}, {timeout} and {memory}"
        )
    if engine not in ("local", "dask"):
        raise ValueError(f"engine must be local or dask, not {engine!r}")
    if scheduler and engine != "dask":
        raise ValueError(f"scheduler needs engine dask, given {scheduler} and engine {engine}")


def _collect(results: Iterator[Result], folder: Folder, total: int, progress: bool) -> dict[str, Entry]:
    """Note results as they come; returns the failures by id."""
    failed: dict[str, Entry] = {}
    bar = tqdm(results, total=total, desc="prep", unit="mesh", disable=not progress)
    with manifest.appending(folder) as append:  # nobody else does that now
        sweep(folder)
        for entry, content in bar:
            if content is not None:
                folder.write(entry.file, content)
            append(entry)
            if entry.status == "failed":
                failed[entry.id] = entry
                bar.set_postfix(failed=len(failed))
                logger.info("prep: %s failed: %s", entry.id, entry.error)
    return failed


def _listed(entries: dict[str, Entry]) -> bytes:
    """The quarantine: a CSV of all meshes without a record."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("id", "path", "reason"))
    table.writerows((name, entry.path, entry.error) for name, entry in sorted(entries.items()) if entry.error)
    return text.getvalue().encode()
