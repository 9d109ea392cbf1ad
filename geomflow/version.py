"""Versions of geomflow and of other libraries, where any room can read them without the package's front door."""

__version__ = "0.1.0"


def version_of(library: str) -> str:
    """Return the version of an installed library, empty if it is not installed.

    Args:
        library: Name of the distribution.
    """
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(library)
    except PackageNotFoundError:
        return ""
