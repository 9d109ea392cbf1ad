"""Batches made ahead: while one is trained on, a thread reads and moves the next."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")


class Ahead(Generic[T]):
    """Calls a function for numbers in steps of a stride, each while the caller is busy with the one before.

    What comes out is what the function returns, so that order and content are the same as without a thread; what it
    raises is raised when its number is asked for.

    Args:
        make: Makes what belongs to a number.
        stride: From one number to the next.
    """

    def __init__(self, make: Callable[[int], T], stride: int = 1) -> None:
        self._make, self._stride = make, stride
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ahead")
        self._number, self._future = -1, Future[T]()

    def __call__(self, number: int) -> T:
        """Return what belongs to a number.

        Args:
            number: The number, which is ready if it is a stride after the one before.
        """
        future = self._future if number == self._number else self._thread.submit(self._make, number)
        made = future.result()
        self._number = number + self._stride
        self._future = self._thread.submit(self._make, self._number)
        return made

    def close(self) -> None:
        """Make nothing any more; what is being made is waited for, so that nothing runs on beside what comes next."""
        self._thread.shutdown(cancel_futures=True)
