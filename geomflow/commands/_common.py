"""What verbs share: how they speak, what they may use."""

import os
import sys
from typing import Literal

Device = Literal["cpu", "cuda"]

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
"""Cores that this process may use."""


def say(text: str) -> None:
    """Write a line to standard output."""
    sys.stdout.write(text + "\n")
