"""The command line: one verb parses its arguments and calls one plain function that scripts and notebooks call too.

Exit codes: 0 done, 1 the work failed, 2 the command was wrong, 130 interrupted. Errors are one line on stderr; with
GEOMFLOW_DEBUG set, those that were not foreseen keep their traceback.
"""

import contextlib
import functools
import io
import itertools
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import tyro

from geomflow.commands.about import doctor, list_items
from geomflow.commands.data import export, pack, prep
from geomflow.commands.evaluation import compare, evaluate
from geomflow.commands.joints import joints
from geomflow.commands.points import fit, sample
from geomflow.commands.shapes import complete, extract, generate, reconstruct
from geomflow.commands.training import train
from geomflow.commands.viewing import view
from geomflow.errors import ConfigError, GeomflowError

DESCRIPTION = "Meshes to signed distance fields to few-step generators, and back to meshes."

VERBS: dict[str, Callable[..., None]] = {
    "generate": generate,
    "fit": fit,
    "sample": sample,
    "prep": prep,
    "pack": pack,
    "export": export,
    "train": train,
    "reconstruct": reconstruct,
    "complete": complete,
    "joints": joints,
    "extract": extract,
    "evaluate": evaluate,
    "compare": compare,
    "view": view,
    "list": list_items,
    "doctor": doctor,
}

CONFIGURABLE = ("train", "fit", "generate")
"""Verbs that take `--section.key value`."""

SETTINGS = (
    "pretrained_encoder",
    "dataset",
    "encoder",
    "reconstruction",
    "network",
    "formulation",
    "objective",
    "noise",
    "condition",
    "guidance",
    "times",
    "optimization",
)
"""Settings of a run that `train` takes whole, an item by its name."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit code.

    Args:
        arguments: The command line; that of the process if None.
    """
    logging.basicConfig(level=logging.WARNING, format="geomflow: %(message)s")
    if str(Path.cwd()) not in sys.path:  # so that items outside the package are found by their dotted path
        sys.path.append(str(Path.cwd()))
    arguments, settings = _split_settings(list(sys.argv[1:] if arguments is None else arguments))
    try:
        _parse_and_run(arguments, settings)
    except KeyboardInterrupt:
        sys.stderr.write("geomflow: interrupted\n")
        return 130
    except Exception as error:
        if os.environ.get("GEOMFLOW_DEBUG"):
            raise
        sys.stderr.write(f"geomflow: {_first_line(error)}\n")
        return 2 if _is_usage(error) else 1
    return 0


def _is_usage(error: Exception) -> bool:
    """Whether an argument was wrong, as opposed to what it led to."""
    return isinstance(error, ConfigError) or (isinstance(error, ValueError) and not isinstance(error, GeomflowError))


def _parse_and_run(arguments: list[str], settings: dict[str, str]) -> None:
    verb = arguments[0] if arguments else ""
    if settings and verb not in CONFIGURABLE:
        _refuse(f"unknown option --{next(iter(settings))}")
    _parse(arguments)(**({"settings": settings} if settings else {}))


def _parse(arguments: list[str]) -> Callable[..., None]:
    """The chosen verb with its arguments bound, not yet run, so that only errors of usage can come out of here."""
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.extras.subcommand_cli_from_dict(
                {name: _bound(function) for name, function in VERBS.items()},
                prog="geomflow",
                description=DESCRIPTION,
                args=arguments,
            )
    except SystemExit as stop:
        if stop.code:
            _refuse(_box_to_line(complaint.getvalue()))
        raise


def _bound(function: Callable[..., None]) -> Callable[..., Callable[..., None]]:
    """The function's own signature, but calling it only remembers the arguments."""

    @functools.wraps(function)
    def bind(*args: object, **kwargs: object) -> Callable[..., None]:
        return functools.partial(function, *args, **kwargs)

    return bind


def _box_to_line(box: str) -> str:
    """What tyro says in the first section of its box, as one line."""
    lines = [line.strip("│ ") for line in box.splitlines()[1:]]
    said = itertools.takewhile(lambda line: line and line[0] not in "─╰", lines)
    return f"{' '.join(said)} (see geomflow --help)"


def _refuse(reason: str) -> None:
    sys.stderr.write(f"geomflow: {reason}\n")
    raise SystemExit(2)


def _split_settings(arguments: list[str]) -> tuple[list[str], dict[str, str]]:
    """Take `--section.key value` and `--section.key=value` out of the arguments."""
    plain, settings = [], {}
    whole = SETTINGS if arguments[:1] == ["train"] else ()
    rest = iter(arguments)
    for argument in rest:
        key, equals, value = argument.removeprefix("--").partition("=")
        if argument.startswith("--") and ("." in key or key in whole):
            value = value if equals else next(rest, "--")
            if value.startswith("--"):
                _refuse(f"--{key} wants a value")
            settings[key] = value
        else:
            plain.append(argument)
    return plain, settings


def _first_line(error: Exception) -> str:
    """The error in one line, with its kind if geomflow did not foresee it."""
    line = str(error).strip().split("\n")[0]
    if isinstance(error, GeomflowError | OSError | ValueError) and line:
        return line
    return f"{type(error).__name__}: {line} (GEOMFLOW_DEBUG=1 shows where)"


if __name__ == "__main__":
    sys.exit(main())
