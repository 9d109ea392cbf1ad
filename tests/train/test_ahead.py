"""What is made ahead is what is asked for, in its order, and so are its errors."""

import threading
import time

import pytest

from geomflow.train.ahead import Ahead


def test_the_next_is_made_while_this_one_is_used():
    made = [threading.Event() for _ in range(8)]

    def make(number: int) -> int:
        made[number].set()
        return 10 * number

    ahead = Ahead(make, stride=2)
    assert ahead(1) == 10
    assert made[3].wait(timeout=10)
    assert [ahead(number) for number in (3, 5)] == [30, 50]
    assert not made[2].is_set()
    ahead.close()


def test_a_jump_gives_what_is_asked_for():
    """As where a trial of some steps begins anew."""
    ahead = Ahead(lambda number: number)
    assert [ahead(number) for number in (4, 5, 0, 1, 1)] == [4, 5, 0, 1, 1]
    ahead.close()


def test_an_error_comes_with_its_own_number():
    def make(number: int) -> int:
        if number == 1:
            raise OSError("chair.safetensors: gone")
        return number

    ahead = Ahead(make)
    assert ahead(0) == 0
    with pytest.raises(OSError, match=r"chair\.safetensors: gone"):
        ahead(1)
    ahead.close()


def test_nothing_runs_on_after_the_end():
    begun, ended = threading.Event(), threading.Event()

    def make(number: int) -> int:
        if number == 1:
            begun.set()
            time.sleep(0.1)
            ended.set()
        return number

    ahead = Ahead(make)
    ahead(0)
    assert begun.wait(timeout=10)
    ahead.close()
    assert ended.is_set()
    with pytest.raises(RuntimeError, match="after shutdown"):
        ahead(5)
