"""Ctrl-C and SIGTERM, noted where they would break off a step that is under way."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def interrupts() -> Iterator[list[int]]:
    """Collect Ctrl-C and SIGTERM in a list instead of breaking off in the middle of a step; a second Ctrl-C breaks off.

    A second SIGTERM does not: SLURM sends one to every process of a step, and torchrun hands its own on.
    """
    received: list[int] = []

    def remember(number: int, _frame: object) -> None:
        if number == signal.SIGINT and signal.SIGINT in received:
            raise KeyboardInterrupt
        received.append(number)

    if threading.current_thread() is not threading.main_thread():  # only the main thread may handle signals
        yield received
        return
    before = {number: signal.signal(number, remember) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
