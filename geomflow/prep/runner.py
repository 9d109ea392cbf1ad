"""The runner: many meshes to a dataset folder, each in an isolated worker, resumable after anything."""

import logging
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future as AnyFuture
from concurrent.futures import TimeoutError, as_completed
from dataclasses import dataclass
from pathlib import Path

from pebble import ProcessPool
from tqdm import tqdm

from geomflow.prep import manifest
from geomflow.prep.job import make_record
from geomflow.prep.manifest import Entry
from geomflow.prep.recipe import Recipe
from geomflow.prep.sources import Source, find_sources
from geomflow.records import save_record

logger = logging.getLogger("geomflow")


@dataclass(frozen=True)
class PrepSummary:
    """What a run did: counts of records made now, found from earlier runs, and failed, with the reasons."""

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
) -> PrepSummary:
    """Turn a folder, zip or CSV of meshes into a dataset folder of shape records.

    Running it again continues: records of the same recipe and of meshes that have not changed are kept, everything else
    is tried. Records of meshes that are no longer in the source stay in the dataset.

    Args:
        source: See `find_sources`.
        out: Dataset folder, made if needed.
        recipe: Options of the records.
        workers: Number of processes.
        timeout: Seconds after which a mesh is given up.
        progress: Whether to show a bar.

    Raises:
        RecordError: There is no mesh to prepare.
        ValueError: Less than one worker, or a time-out that is not positive.
    """
    if workers < 1 or timeout <= 0:
        raise ValueError(f"workers must be at least 1 and timeout positive, given {workers} and {timeout}")
    recipe, out = recipe or Recipe(), Path(out)
    sources = find_sources(source)
    out.mkdir(parents=True, exist_ok=True)
    manifest.mend(out)
    known = manifest.read(out) if (out / manifest.NAME).is_file() else {}
    todo = [item for item in sources if not _is_done(out, known.get(item.id), item, recipe)]
    results = _results(todo, out, recipe, workers, timeout)
    failed = {}
    for entry in tqdm(results, total=len(todo), desc="prep", unit="mesh", disable=not progress):
        manifest.append(out, entry)
        if entry.status == "failed":
            failed[entry.id] = entry.error
            logger.warning("prep: %s failed: %s", entry.id, entry.error)
    return PrepSummary(len(todo) - len(failed), len(sources) - len(todo), len(failed), failed)


def reasons(summary: PrepSummary) -> dict[str, int]:
    """Return how often each kind of failure happened."""
    return dict(Counter(reason.split(":")[0] for reason in summary.reasons.values()))


def _is_done(out: Path, entry: Entry | None, source: Source, recipe: Recipe) -> bool:
    if entry is None or entry.status != "done":
        return False
    same = (entry.recipe_hash, entry.made_from) == (recipe.hash, source.fingerprint())
    return same and (out / entry.file).is_file()


def _results(todo: list[Source], out: Path, recipe: Recipe, workers: int, timeout: float) -> Iterator[Entry]:
    """Entries in the order in which the workers finish."""
    with ProcessPool(max_workers=workers) as pool:
        running: dict[AnyFuture, Source] = {
            pool.schedule(_write, args=[source, str(out), recipe], timeout=timeout): source for source in todo
        }
        try:
            for future in as_completed(running):
                yield _outcome(future, running[future], recipe, timeout)
        except BaseException:
            pool.stop()
            raise


def _write(source: Source, out: str, recipe: Recipe) -> Entry:
    """Make and save one record, inside a worker."""
    start, made_from = time.perf_counter(), source.fingerprint()
    file = Path("records", source.class_name, f"{source.id}.safetensors")
    save_record(make_record(source, recipe), Path(out) / file)
    seconds = round(time.perf_counter() - start, 3)
    return Entry(
        source.id, "done", source.class_name, source.split, recipe.hash, seconds, file.as_posix(), made_from=made_from
    )


def _outcome(future: AnyFuture, source: Source, recipe: Recipe, timeout: float) -> Entry:
    try:
        return future.result()
    except TimeoutError:
        error = f"timeout: not done after {timeout:g} s"
    except Exception as cause:  # a worker may die of anything, and only its own mesh is lost
        error = f"{type(cause).__name__}: {cause}"
    return Entry(source.id, "failed", source.class_name, source.split, recipe.hash, error=error)
