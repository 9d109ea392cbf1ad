"""Training: data to checkpoint, one resumable loop for every task, in one process or in many.

Step k of a run depends only on the seed and on k: the batch of a step is cut into a fixed number of parts, noise and
times of each come from a generator of its own, the order of shapes from one seeded with the epoch. So a resumed run
repeats an uninterrupted one bit for bit on the CPU, and processes that share the parts of a step take the steps of one.
"""

from geomflow.train.average import Ema
from geomflow.train.log import LOG, SCORES
from geomflow.train.loop import Resume, steps_in_time, train
from geomflow.train.schedule import data_order, learning_rate_factor, second_stage

__all__ = [
    "LOG",
    "SCORES",
    "Ema",
    "Resume",
    "data_order",
    "learning_rate_factor",
    "second_stage",
    "steps_in_time",
    "train",
]
