"""Verbs about geomflow itself: what is on the shelves, what works here."""

from typing import Literal

import tyro

from geomflow.commands._common import say

Shelf = Literal[
    "formulations",
    "objectives",
    "networks",
    "encoders",
    "datasets",
    "noises",
    "presets",
    "pipelines",
    "rewards",
    "views",
    "models",
]


def list_items(shelf: tyro.conf.Positional[Shelf], /) -> None:
    """List what stands on a shelf.

    Args:
        shelf: Which one.
    """
    from geomflow import shelves
    from geomflow.pipeline import pretrained_names

    names = shelves.names(shelf) if shelf != "models" else pretrained_names()
    say("\n".join(names))


def doctor() -> None:
    """Show versions, devices, and optional libraries with what each would add."""
    from geomflow.doctor import examine

    say("\n".join(examine()))
