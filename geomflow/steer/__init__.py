"""Steering: what a flow map makes, drawn towards a reward or towards what is known, with its weights as they are.

A reward is any callable from data (batch, ...) to one number each; more is better. A flow map looks ahead from any
state to clean data in one call, so a reward of data is a reward of states, with a gradient. Read ``reward`` and
``look_ahead`` first, then one method per file:

``best_of_n`` chooses; ``guide`` follows the gradient along the way, ``ascend`` in the noise; ``tilt``, in the limit of
many particles, and ``langevin``, in the limit of many moves, draw from the tilted law p(data) exp(strength reward);
``plug_and_play`` (and ``inpaint``) correct each look-ahead; ``fine_tune`` changes the weights after all; ``dps`` needs
no flow map and is what the others are measured against.
"""

from geomflow.steer.ascend import ascend
from geomflow.steer.best_of_n import best_of_n
from geomflow.steer.dps import dps
from geomflow.steer.fine_tune import FineTuned, fine_tune
from geomflow.steer.guide import guide
from geomflow.steer.inpaint import inpaint
from geomflow.steer.langevin import langevin
from geomflow.steer.plug_and_play import plug_and_play, uphill
from geomflow.steer.reward import Reward
from geomflow.steer.steered import Steered
from geomflow.steer.tilt import tilt

__all__ = [
    "FineTuned",
    "Reward",
    "Steered",
    "ascend",
    "best_of_n",
    "dps",
    "fine_tune",
    "guide",
    "inpaint",
    "langevin",
    "plug_and_play",
    "tilt",
    "uphill",
]
