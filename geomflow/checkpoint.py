"""Checkpoints: weights and the configuration that made them, in a folder that is written whole or not at all.

model.safetensors   averaged weights, what generation uses
config.json         format version, configuration, facts (steps done, the data's counts)
state/training.pt   raw weights, optimiser and averages, only needed to resume
"""

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from geomflow import config as configs
from geomflow.config import RunConfig
from geomflow.errors import CheckpointError
from geomflow.files import write_together

FORMAT = 1
WEIGHTS, CONFIG, STATE = "model.safetensors", "config.json", "state/training.pt"


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint folder holds: its configuration, facts about the training, and named tensors.

    Attributes:
        config: The configuration that the model was built from.
        facts: What else is known of the training: steps, seconds, data.
        weights: Averaged weights by name.
    """

    config: RunConfig
    facts: dict[str, Any]
    weights: dict[str, Tensor]


def save(folder: str | Path, checkpoint: Checkpoint | None, state: dict[str, Any] | None = None) -> None:
    """Write a checkpoint, what is needed to go on with its training, or both; all of their files appear, or none.

    Args:
        folder: Folder of the checkpoint.
        checkpoint: What to write; None leaves the one that is there.
        state: What is needed to go on: tensors, numbers and containers of them, by name; None if nothing is.

    Raises:
        OSError: The folder cannot be written or the disk is full; what was there before is as it was.
    """
    files = {} if checkpoint is None else _model_files(checkpoint)
    if state is not None:
        buffer = io.BytesIO()
        torch.save(state, buffer)
        files[STATE] = buffer.getvalue()
    write_together({Path(folder) / name: content for name, content in files.items()})


def _model_files(checkpoint: Checkpoint) -> dict[str, bytes]:
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.weights.items()}
    header = {"format": FORMAT, "config": configs.to_dict(checkpoint.config), "facts": checkpoint.facts}
    return {WEIGHTS: safetensors.torch.save(contiguous), CONFIG: (json.dumps(header, indent=2) + "\n").encode()}


def load(folder: str | Path) -> Checkpoint:
    """Read a checkpoint; half-precision weights come back as float32.

    Args:
        folder: Folder of the checkpoint.

    Raises:
        CheckpointError: The folder or a file is missing, truncated, or of a newer format; the message names the file.
    """
    folder = Path(folder)
    header = _header(folder / CONFIG)
    try:
        weights = safetensors.torch.load_file(_existing(folder / WEIGHTS))
    except SafetensorError as error:
        raise CheckpointError(f"{folder / WEIGHTS}: truncated or not a safetensors file ({error})") from error
    try:
        config = configs.from_dict(dict(header["config"]))
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{folder / CONFIG}: not a geomflow configuration ({error})") from error
    full = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in weights.items()}
    return Checkpoint(config, header.get("facts", {}), full)


def load_state(folder: str | Path) -> dict[str, Any]:
    """Read the state that `save` wrote.

    Args:
        folder: Folder of the checkpoint.

    Raises:
        CheckpointError: There is none, or it is truncated or something else.
    """
    path = _existing(Path(folder) / STATE)
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # torch raises whatever its unpickler met
        raise CheckpointError(f"{path}: truncated or not a training state ({error})") from error
    if not isinstance(state, dict) or not {"step", "loss", "ema", "optimizers"} <= state.keys():
        raise CheckpointError(f"{path}: not a training state: it has no steps, weights, average and optimisers")
    return state


def fill(module: torch.nn.Module, weights: dict[str, Tensor], folder: str | Path) -> None:
    """Load weights into a module built from the checkpoint's own configuration.

    Args:
        module: The module; its weights are replaced.
        weights: Tensors by name, each shaped as the module's of that name.
        folder: What errors call the checkpoint.

    Raises:
        CheckpointError: Names or shapes differ.
    """
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        reason = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise CheckpointError(f"{Path(folder) / WEIGHTS}: does not fit its configuration: {reason}") from error


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; wanted a checkpoint folder with {WEIGHTS} and {CONFIG}")
    return path


def _header(path: Path) -> dict[str, Any]:
    try:
        header = json.loads(_existing(path).read_text())
    except json.JSONDecodeError as error:
        raise CheckpointError(f"{path}: truncated or not JSON ({error})") from error
    if not isinstance(header, dict) or not isinstance(header.get("format"), int):
        raise CheckpointError(f"{path}: not a geomflow checkpoint: it has no format number")
    if header["format"] > FORMAT:
        raise CheckpointError(f"{path}: format {header['format']} is newer than {FORMAT}: update geomflow to read it")
    return header
