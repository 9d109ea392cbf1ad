"""Jobs that misbehave as their mesh's name says; workers import this file."""

import ctypes
import time
from pathlib import Path

import numpy as np

from geomflow.prep.job import make_record
from geomflow.prep.recipe import Recipe
from geomflow.prep.sources import Source
from geomflow.records import ShapeRecord


class TwoArguments(Exception):
    """Cannot be unpickled: it is made of two arguments and keeps one."""

    def __init__(self, wanted: str, found: str) -> None:
        super().__init__(f"wanted {wanted}, found {found}")


def make(source: Source, recipe: Recipe, device: str) -> ShapeRecord:
    if "segfault" in source.id:
        ctypes.string_at(0)
    if "hang" in source.id:
        time.sleep(3600)
    if "eat" in source.id:
        return np.ones(1 << 28)  # type: ignore[return-value]  # 2 GiB
    if "raise" in source.id:
        raise RuntimeError("of its own\nmaking")
    if "twice" in source.id:
        raise TwoArguments("one", "two")
    if "network" in source.id:
        raise TimeoutError("the file server does not answer")
    if "flaky" in source.id and not Path(f"{source.path}.died").exists():
        Path(f"{source.path}.died").touch()
        ctypes.string_at(0)
    return make_record(source, recipe, device)
