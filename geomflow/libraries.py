"""Optional libraries: imported when they are needed, and missed with the line that installs them."""

import importlib
from types import ModuleType

from geomflow.errors import LibraryMissing


def library(module: str, purpose: str, install: str) -> ModuleType:
    """Return an optional library's module, imported now.

    Args:
        module: Dotted name of what is imported.
        purpose: What wants it, as the start of the error's sentence ("the Dask engine").
        install: What pip is to be given, "geomflow[dask]" say.

    Raises:
        LibraryMissing: The library is not installed; the message gives the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != module.split(".")[0]:
            raise
        name = module.split(".")[0]
        raise LibraryMissing(f"{purpose} needs {name}: pip install '{install}'", name=name) from error
