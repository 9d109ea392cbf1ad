"""Shelves: find an item (formulation, objective, network, ...) by its file name and make it.

A shelf is a folder of the package with a plural name; an item is one file on it with one function ``make(**options)``.
Adding an item is adding a file: there is no registry to edit. A dotted name, ``my_project.trigflow``, is an item that
lives in somebody else's package. Files whose names begin with an underscore are shared parts, not items.
"""

import importlib
import importlib.util
import inspect
import pkgutil
from collections.abc import Callable
from types import ModuleType
from typing import Any, Literal, get_args

from geomflow.errors import ConfigError

Shelf = Literal[
    "formulations",
    "objectives",
    "manifolds",
    "networks",
    "encoders",
    "datasets",
    "noises",
    "presets",
    "pipelines",
    "rewards",
    "views",
]
SHELVES = get_args(Shelf)


def load(shelf: str, name: str, **options: Any) -> Any:
    """Makes the item ``name`` of ``shelf`` with ``options``: the result of its file's ``make``.

    Args:
        shelf: a folder of the package, such as ``"formulations"``.
        name: a file name without its ending, or the dotted path of a module outside the package.
        **options: what the item's ``make`` takes.

    Raises:
        ConfigError: the shelf, the item or an option does not exist; the message lists those that do.
    """
    make = _maker(shelf, name)
    check_options(make, options, f"{shelf[:-1]} {name!r}")
    return make(**options)


def names(shelf: str) -> list[str]:
    """Items of ``shelf`` in alphabetical order, found without importing any of them.

    Args:
        shelf: a folder of the package, such as ``"formulations"``.

    Raises:
        ConfigError: there is no such shelf.
    """
    if shelf not in SHELVES:
        raise ConfigError(f"unknown shelf {shelf!r}: the shelves are {', '.join(SHELVES)}")
    spec = importlib.util.find_spec(f"geomflow.{shelf}")
    folders = (spec.submodule_search_locations if spec else None) or []
    return sorted(item.name for item in pkgutil.iter_modules(folders) if not item.name.startswith("_"))


def _maker(shelf: str, name: str) -> Callable[..., Any]:
    """The ``make`` of an item."""
    known = names(shelf)
    if "." not in name and name not in known:
        raise ConfigError(f"unknown {shelf[:-1]} {name!r}: the {shelf} are {', '.join(known)}, or a dotted module path")
    module = _import(name if "." in name else f"geomflow.{shelf}.{name}")
    make = getattr(module, "make", None)
    if not callable(make):
        raise ConfigError(f"{module.__name__} has no function make(...), so it is no item of {shelf}")
    return make


def _import(path: str) -> ModuleType:
    """Imports a module; a missing one is a ConfigError, a missing import inside it stays what it is."""
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError as error:
        if error.name and (path == error.name or path.startswith(f"{error.name}.")):
            raise ConfigError(f"there is no module {error.name!r} (wanted {path!r})") from error
        raise
    except TypeError as error:  # a relative path such as ".edm"
        raise ConfigError(f"{path!r} is no dotted module path: {error}") from error


def check_options(make: Callable[..., Any], options: dict[str, Any], item: str) -> None:
    """Refuses options that ``make`` does not take, and the lack of those it needs.

    Args:
        make: what the options are for.
        options: names and values.
        item: what the message calls it.

    Raises:
        ConfigError: an option does not exist or is missing; the message lists those that do.
    """
    parameters = inspect.signature(make).parameters.values()
    accepted = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    listed = ", ".join(accepted) or "none"
    if not any(p.kind is p.VAR_KEYWORD for p in parameters):
        for unknown in [option for option in options if option not in accepted]:
            raise ConfigError(f"{item} has no option {unknown!r}: its options are {listed}")
    required = [p.name for p in parameters if p.default is p.empty and p.name in accepted]
    for missing in [option for option in required if option not in options]:
        raise ConfigError(f"{item} needs the option {missing!r}: its options are {listed}")
