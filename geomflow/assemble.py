"""The only place where configuration becomes objects: modules ready to train or to generate."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from geomflow import checkpoint, shelves
from geomflow.config import Item, RunConfig
from geomflow.encoders._loss import ReconstructionLoss
from geomflow.errors import ConfigError
from geomflow.flow import ErrorWeight, FlowMap, LossModule, Objective, TimePairs
from geomflow.interfaces import Batch, ShapeDataset


class LatentScale(nn.Module):
    """Affine map between a decoder's latents and the zero-mean, unit-spread latents that a flow map works in."""

    mean: Tensor
    std: Tensor

    def __init__(self, latent_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(latent_shape))
        self.register_buffer("std", torch.ones(latent_shape))

    def fit(self, mean: Tensor, variance: Tensor) -> None:
        """Take mean and spread per channel of Gaussians with means and variances (shapes, channels, x, y, z)."""
        over = (0, *range(2, mean.ndim))
        spread = (mean.var(over, correction=0, keepdim=True) + variance.mean(over, keepdim=True)).sqrt()
        self.mean.copy_(mean.mean(over, keepdim=True)[0].expand_as(self.mean))
        self.std.copy_(spread[0].expand_as(self.std))

    def standardize(self, latents: Tensor) -> Tensor:
        """Return latents with zero mean and unit spread."""
        return (latents - self.mean) / self.std

    def restore(self, standardized: Tensor) -> Tensor:
        """Return what the decoder reads."""
        return standardized * self.std + self.mean


class ShapeModel(nn.Module):
    """Everything a checkpoint holds: an autoencoder and, unless only that was trained, a flow map on its latents."""

    def __init__(self, config: RunConfig) -> None:
        super().__init__()
        self.autoencoder = _build("encoders", config.encoder)
        if config.task == "flow_map":
            shape = self.autoencoder.latent_shape
            self.scale = LatentScale(shape)
            network = _build("networks", config.network, latent_shape=shape)
            self.flow_map = FlowMap(network, _build("formulations", config.formulation))


@dataclass(frozen=True)
class Training:
    """What the training loop needs: the model to save, the loss to step on, the weights that move, and the data."""

    model: ShapeModel
    loss: nn.Module
    trained: nn.Module
    dataset: ShapeDataset


class FlowMapLoss(nn.Module):
    """Hands the latents of a batch to the flow map's own loss."""

    def __init__(self, loss: LossModule) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, batch: Batch, progress: float, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of a batch with `data` and, if conditional, `condition`."""
        loss, logs = self.loss(batch["data"], batch.get("condition"), progress=progress, generator=generator)
        return loss, {name: float(value) for name, value in logs.items() if name != "loss"}


def training(config: RunConfig, data: str | Path, device: str = "cpu") -> Training:
    """Return model, loss and data of a run, with weights initialised from the run's seed.

    Raises:
        ConfigError: An unknown item or option.
        CheckpointError: The pretrained encoder, or a teacher, cannot be read.
        RecordError: The dataset cannot be read.
    """
    device = present_device(device)
    torch.manual_seed(config.optimization.seed)
    if config.task == "autoencoder":
        model = ShapeModel(config).to(device)
        dataset = _dataset(config, data, **_wanted_views(model.autoencoder))
        return Training(model, ReconstructionLoss(model.autoencoder), model.autoencoder, dataset)
    model = ShapeModel(config)
    checkpoint.fill(model.autoencoder, _encoder_weights(config), config.pretrained_encoder)
    model.autoencoder.requires_grad_(False)
    dataset = _dataset(config, data, autoencoder=model.autoencoder, scale=model.scale)
    shelves.check_options(TimePairs, config.times, "the run's [times]")
    shelves.check_options(ErrorWeight, config.weight, "the run's [weight]")
    times, weight = TimePairs(**config.times), ErrorWeight(**config.weight)
    loss = LossModule(model.flow_map, _objective(config.objective, model, device), times, weight)
    return Training(model.to(device), FlowMapLoss(loss), model.flow_map, dataset)


def present_device(name: str) -> str:
    """Return the device's name if this machine has it.

    Raises:
        ConfigError: It is a CUDA device, and torch sees none.
    """
    if torch.device(name).type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"device {name!r} is not here: torch {torch.__version__} sees no CUDA device")
    return name


def resolve_encoder(config: RunConfig) -> RunConfig:
    """Return the configuration with the encoder that its pretrained checkpoint was made with.

    Raises:
        ConfigError: A flow map without a pretrained encoder.
    """
    if config.task != "flow_map":
        return config
    if not config.pretrained_encoder:
        raise ConfigError("a flow map wants --pretrained_encoder FOLDER, the run of a trained autoencoder")
    return replace(config, encoder=checkpoint.load(config.pretrained_encoder).config.encoder)


def restore(folder: str | Path, device: str = "cpu") -> tuple[ShapeModel, checkpoint.Checkpoint]:
    """Return the model of a checkpoint folder, ready to generate, and the checkpoint itself.

    Raises:
        CheckpointError: The checkpoint is missing, truncated, newer, or does not fit its configuration.
        ConfigError: The device is not there.
    """
    saved = checkpoint.load(folder)
    model = ShapeModel(saved.config)
    checkpoint.fill(model, saved.weights, folder)
    return model.to(present_device(device)).eval().requires_grad_(False), saved


def _build(shelf: str, item: Item, **given: Any) -> Any:
    return shelves.load(shelf, item.name, **{**given, **item.options})


def _objective(item: Item, student: ShapeModel, device: str) -> Objective:
    """The objective; a teacher given as a checkpoint folder becomes its frozen flow map.

    Raises:
        ConfigError: The teacher is no flow map, or its latents are not the student's.
    """
    folder = item.options.get("teacher")
    if not isinstance(folder, str):
        return _build("objectives", item)
    teacher, saved = restore(folder, device)
    if saved.config.task != "flow_map":
        raise ConfigError(f"objective.teacher must be the run of a flow map, {folder} holds an {saved.config.task}")
    for part in ("autoencoder", "scale"):
        own, other = (getattr(model, part).state_dict() for model in (student, teacher))
        if own.keys() != other.keys() or any(not torch.equal(own[k], other[k].to(own[k].device)) for k in own):
            raise ConfigError(f"objective.teacher must have the student's latents, but the {part} of {folder} differs")
    return _build("objectives", replace(item, options={**item.options, "teacher": teacher.flow_map}))


def _wanted_views(encoder: Any) -> dict[str, int]:
    """Options that a dataset needs for an encoder that does not read the grid, which every dataset has."""
    return {"surface": encoder.points} if encoder.reads == "surface" else {}


def _dataset(config: RunConfig, data: str | Path, **given: object) -> ShapeDataset:
    return shelves.load("datasets", config.dataset.name, folder=str(data), **{**given, **config.dataset.options})


def _encoder_weights(config: RunConfig) -> dict[str, Tensor]:
    weights = checkpoint.load(config.pretrained_encoder).weights
    prefix = "autoencoder."
    return {name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)}
