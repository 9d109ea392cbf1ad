"""Jobs that misbehave as their mesh's name says; workers import this file."""

import ctypes
import time

import numpy as np

from geomflow.prep.job import make_record
from geomflow.prep.recipe import Recipe
from geomflow.prep.sources import Source
from geomflow.records import ShapeRecord


def make(source: Source, recipe: Recipe, device: str) -> ShapeRecord:
    if "segfault" in source.id:
        ctypes.string_at(0)
    if "hang" in source.id:
        time.sleep(3600)
    if "eat" in source.id:
        return np.ones(1 << 40)  # type: ignore[return-value]
    if "raise" in source.id:
        raise RuntimeError("of its own\nmaking")
    return make_record(source, recipe, device)
