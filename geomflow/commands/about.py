"""Verbs about geomflow itself: what is on the shelves, what works here."""

from typing import Literal

import tyro

from geomflow.commands._common import say
from geomflow.shelves import Shelf, names


def list_items(shelf: tyro.conf.Positional[Literal[Shelf, "models"]], /) -> None:
    """List what stands on a shelf.

    Args:
        shelf: Which one.
    """
    say("\n".join(_models() if shelf == "models" else names(shelf)))


def _models() -> list[str]:
    from geomflow.pipeline import pretrained_names  # brings torch

    return pretrained_names()


def doctor() -> None:
    """Show versions, devices, and optional libraries with what each would add; exit 1 if something is broken.

    Raises:
        GeomflowError: Something that geomflow needs is missing or does not work.
    """
    from geomflow.doctor import examine, verdict
    from geomflow.errors import GeomflowError

    findings = examine()
    say("\n".join(finding.text for finding in findings))
    if any(finding.broken for finding in findings):
        raise GeomflowError(verdict(findings))
    say(verdict(findings))
