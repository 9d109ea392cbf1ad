"""Warp, started quietly: without a CUDA driver its loader writes a warning past Python to the process's stderr."""

import os

import warp as wp


def _start() -> None:
    wp.config.log_level = wp.LOG_ERROR
    try:
        kept = os.dup(2)
    except OSError:  # a daemon has closed it
        return wp.init()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        wp.init()
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
    return None


_start()

__all__ = ["wp"]
