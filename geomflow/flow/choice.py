"""Options that are one of a few words."""

from typing import Any, get_args


def check_choice(name: str, value: object, choices: Any) -> None:
    """Refuses a value that is none of a ``Literal``'s.

    Args:
        name: what the message calls the option.
        value: what was given.
        choices: the ``Literal`` type.

    Raises:
        ValueError: the message names the option, the choices and what was given.
    """
    if value not in get_args(choices):
        raise ValueError(f"{name} must be one of {get_args(choices)}, given {value!r}")
