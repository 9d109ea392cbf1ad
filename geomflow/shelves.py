"""Shelves: find an item (formulation, objective, network, ...) by its file name and make it.

A shelf is a folder of the package with a plural name; an item is one file on it with one function ``make(**options)``.
Adding an item is adding a file: there is no registry to edit. A dotted name, ``my_project.trigflow``, is an item that
lives in somebody else's package. Files whose names begin with an underscore are shared parts, not items.
"""

import importlib
import importlib.util
import inspect
import pkgutil
import reprlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Integral, Real
from types import ModuleType, NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

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
        ConfigError: the shelf, the item or an option does not exist, and the message lists those that do; or an option
            is not of the type that ``make`` is annotated with.
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
    module = _import(name if "." in name else f"geomflow.{shelf}.{name}", shelf[:-1])
    make = getattr(module, "make", None)
    if not callable(make):
        raise ConfigError(f"{module.__name__} has no function make(...), so it is no item of {shelf}")
    return make


def _import(path: str, kind: str) -> ModuleType:
    """Imports the module of an item; a missing one is a ConfigError, a missing import inside it stays what it is."""
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError as error:
        if error.name and (path == error.name or path.startswith(f"{error.name}.")):
            raise ConfigError(
                f"there is no module {error.name!r} (wanted {path!r}): a dotted name is that of a module with a "
                f"function make(**options), which returns the {kind}"
            ) from error
        raise
    except TypeError as error:  # a relative path such as ".edm"
        raise ConfigError(f"{path!r} is no dotted module path: {error}") from error


def check_options(make: Callable[..., Any], options: dict[str, Any], item: str) -> None:
    """Refuses options that ``make`` does not take, the lack of those it needs, and values of the wrong type.

    Types are those that ``make`` is annotated with, as far as they are simple: numbers (a whole one is one, too),
    truths, strings, what is one of some literals, sequences of such, and None where it may be. A list is as good as a
    tuple, for configurations have nothing else.

    Args:
        make: what the options are for.
        options: names and values.
        item: what the message calls it.

    Raises:
        ConfigError: an option does not exist or is missing, and the message lists those that do; or it is of the wrong
            type.
    """
    parameters = _parameters(make)
    accepted = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    listed = ", ".join(accepted) or "none"
    if not any(p.kind is p.VAR_KEYWORD for p in parameters):
        for unknown in [option for option in options if option not in accepted]:
            raise ConfigError(f"{item} has no option {unknown!r}: its options are {listed}")
    required = [p.name for p in parameters if p.default is p.empty and p.name in accepted]
    for missing in [option for option in required if option not in options]:
        raise ConfigError(f"{item} needs the option {missing!r}: its options are {listed}")
    for p in (p for p in parameters if p.name in accepted and p.name in options):
        if not _is_of(options[p.name], p.annotation):
            wanted = inspect.formatannotation(p.annotation).replace("collections.abc.", "")
            raise ConfigError(f"{item}: {p.name} must be {wanted}, given {reprlib.repr(options[p.name])}")


def _parameters(make: Callable[..., Any]) -> list[inspect.Parameter]:
    """Parameters with their annotations; those that are strings stay strings where they cannot be evaluated."""
    try:
        return list(inspect.signature(make, eval_str=True).parameters.values())
    except (NameError, AttributeError, TypeError):
        return list(inspect.signature(make).parameters.values())


def _is_of(value: Any, annotation: Any) -> bool:
    """Whether a value is of a simple annotation; any is of the others."""
    kind, parts = get_origin(annotation) or annotation, get_args(annotation)
    if kind in (Union, UnionType):
        return any(_is_of(value, part) for part in parts)
    if kind is Literal:
        return any(isinstance(value, type(part)) and value == part for part in parts)
    if kind in (tuple, list, Sequence):
        return _is_sequence_of(value, parts)
    if kind in (float, int):
        return isinstance(value, Real if kind is float else Integral) and not isinstance(value, bool)
    return kind not in (bool, str, NoneType) or isinstance(value, kind)


def _is_sequence_of(value: Any, parts: tuple[Any, ...]) -> bool:
    """Whether the items of a list or tuple are of their annotations; an array is not looked into."""
    if not isinstance(value, list | tuple):
        return isinstance(value, Iterable) and not isinstance(value, str | Mapping)
    one_kind = len(parts) == 1 or parts[1:] == (...,)
    each = parts[:1] * len(value) if one_kind else parts or (Any,) * len(value)
    return len(each) == len(value) and all(map(_is_of, value, each))
