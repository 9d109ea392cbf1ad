"""The only place where configuration becomes objects: modules ready to train or to generate."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from geomflow import checkpoint, shelves
from geomflow.config import Item, RunConfig
from geomflow.datasets._encode import is_trained
from geomflow.datasets._records import check_resolution
from geomflow.encoders._loss import ReconstructionLoss
from geomflow.errors import ConfigError
from geomflow.files import sha256_of
from geomflow.flow import ErrorWeight, Guidance, LossModule, Objective, TimePairs
from geomflow.image_sets import holds_images, image_classes
from geomflow.interfaces import Batch, ShapeDataset
from geomflow.metrics.judge_points import PointJudge
from geomflow.model import LatentModel, LatentScale, PointModel, build
from geomflow.prep.manifest import class_names

Model = LatentModel | PointModel

SCORED_STEPS = (1, 4)
"""Jumps by which a model of points is judged while it is trained; the last number decides which weights are best."""


@dataclass(frozen=True)
class Training:
    """What the training loop needs.

    Attributes:
        config: The configuration, with what the data and other checkpoints added.
        model: What is saved.
        loss: What is stepped on.
        trained: The part of the model whose weights move.
        dataset: The data.
        facts: What else is to be known of the data.
        judge: Scores a model like this one, the last score being what should become small; None if there are no scores.
    """

    config: RunConfig
    model: Model
    loss: nn.Module
    trained: nn.Module
    dataset: ShapeDataset
    facts: dict[str, Any]
    judge: Callable[[Any], dict[str, float]] | None = None


class FlowMapLoss(nn.Module):
    """Hands the data of a batch, standardised if they are not yet, and its condition to the flow map's own loss.

    Args:
        loss: The loss of the flow map on standardised data.
        scale: What the data are standardised by.
        averaged_targets: Copy of the flow map whose weights are the moving average, which makes targets; None if the
            map itself does.
    """

    def __init__(self, loss: LossModule, scale: LatentScale | None = None, averaged_targets: bool = False) -> None:
        super().__init__()
        self.loss, self.scale = loss, scale
        self.told = tuple(getattr(loss.flow_map.network, "null", ()))
        self.target_map = copy.deepcopy(loss.flow_map).requires_grad_(False) if averaged_targets else None

    def forward(self, batch: Batch, progress: float, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of a batch with `data` and whatever the network is told."""
        data = batch["data"] if self.scale is None else self.scale.standardize(batch["data"]).float()
        given = {"progress": progress, "generator": generator, "target_map": self.target_map}
        condition = {name: batch[name] for name in self.told} or None
        loss, logs = self.loss(data, condition, **given)
        return loss, {name: float(value) for name, value in logs.items() if name != "loss"}


def training(config: RunConfig, data: str | Path, device: str = "cpu") -> Training:
    """Return model, loss and data of a run, with weights initialised from the run's seed.

    Args:
        config: The configuration of the run.
        data: Folder of the prepared data set, or the mesh of a fit.
        device: A torch device name, known to be there.

    Raises:
        ConfigError: An unknown item or option, or a compiled autoencoder.
        CheckpointError: The pretrained encoder, or a teacher, cannot be read.
        RecordError: The dataset cannot be read, or has grids of another resolution than the encoder reads.
        MeshError: The shape whose points are wanted cannot be read, or lacks an attribute.
    """
    device = present_device(device)
    torch.manual_seed(config.optimization.seed)
    return _TRAININGS[config.task](config, data, device)


def _autoencoder_training(config: RunConfig, data: str | Path, device: str) -> Training:
    if config.optimization.compile:
        raise ConfigError("optimization.compile is for flow maps, whose network it compiles; an autoencoder has none")
    model = LatentModel(config).to(device)
    dataset = _dataset(config, folder=str(data), **_wanted_views(model.autoencoder))
    if model.autoencoder.reads == "grid":
        first = dataset.batch(torch.zeros(1, dtype=torch.int64), torch.Generator().manual_seed(0))
        check_resolution(data, first["grid"].shape[1:], model.autoencoder.resolution)
    shelves.check_options(partial(ReconstructionLoss, model.autoencoder), config.reconstruction, "[reconstruction]")
    loss = ReconstructionLoss(model.autoencoder, **config.reconstruction)
    return Training(config, model, loss, model.autoencoder, dataset, {"shapes": len(dataset)})


def _flow_map_training(config: RunConfig, data: str | Path, device: str) -> Training:
    config = _with_classes(_with_encoder(config), data)
    model = LatentModel(config)
    if config.pretrained_encoder:
        checkpoint.fill(model.autoencoder, _encoder_weights(config), config.pretrained_encoder)
    model.autoencoder.to(device).requires_grad_(False)
    told = {"condition": config.condition, "classes": config.classes} if config.condition else {}
    dataset = _dataset(config, folder=str(data), autoencoder=model.autoencoder, scale=model.scale, **told)
    loss = _flow_map_loss(config, model, device).to(device)
    return Training(config, model.to(device), loss, model.flow_map, dataset, {"shapes": len(dataset)})


def _point_training(config: RunConfig, data: str | Path, device: str) -> Training:
    """Scale and channels come from the shape, what a mesh of noise holds from its file."""
    dataset = _dataset(config, file=str(data))
    model = PointModel(replace(config, channels=dataset.channels))
    model.fit_scale(*dataset.measure(config.optimization.seed))
    sizes = getattr(model.noise, "sizes", {})
    noise = replace(config.noise, options={**config.noise.options, **sizes})
    config = replace(config, channels=dataset.channels, noise=noise)
    about = {"file": Path(data).name, "sha256": sha256_of(data)}
    judge, facts = PointJudge(dataset.source), {**about, "labels": list(dataset.source.labels)}
    expectation = dataset.expectation(model.scale, config.optimization.seed, model.flow_map.formulation)
    loss = _flow_map_loss(config, model, device, model.scale, noise=model.noise, expectation=expectation).to(device)
    return Training(config, model.to(device), loss, model.flow_map, dataset, facts, partial(_score, judge))


_TRAININGS = {"autoencoder": _autoencoder_training, "flow_map": _flow_map_training, "points": _point_training}


def _flow_map_loss(
    config: RunConfig, model: Any, device: str, scale: LatentScale | None = None, **given: Any
) -> FlowMapLoss:
    shelves.check_options(TimePairs, config.times, "the run's [times]")
    shelves.check_options(ErrorWeight, config.weight, "the run's [weight]")
    times, weight = TimePairs(**config.times), ErrorWeight(**config.weight)
    guidance = _guidance(config, model.flow_map.network)
    objective = _objective(config, model, device)
    if config.optimization.compile:
        model.flow_map.network.compile()  # in place, so that the names of weights stay
    given["averaged_elsewhere"] = config.optimization.sharded  # by what shards the whole loss around it
    loss = LossModule(model.flow_map, objective, times, weight, guidance=guidance, **given)
    return FlowMapLoss(loss, scale, config.optimization.averaged_targets)


def _guidance(config: RunConfig, network: Any) -> Guidance | None:
    """Guidance by the network's condition, if it is asked for.

    Raises:
        ConfigError: It is asked for without a condition, or with an unknown option.
    """
    if not config.guidance:
        return None
    if not config.condition:
        raise ConfigError("[guidance] wants a condition: --condition class, or points")
    if isinstance(config.guidance.get("scale"), list | tuple):
        raise ConfigError(f"guidance.scale must be a number in a run, given {config.guidance['scale']}")
    given = {"null": network.null, **config.guidance}
    shelves.check_options(Guidance, given, "the run's [guidance]")
    return Guidance(**given)


def _score(judge: PointJudge, model: PointModel) -> dict[str, float]:
    """How far samples in few jumps are from the shape."""
    scores = {}
    for steps in SCORED_STEPS:
        points = torch.cat(list(model.draw(judge.count, steps, seed=0)))[:, :3]
        scores |= {f"{name}-{steps}": value for name, value in reversed(judge(points.cpu().numpy()).items())}
    return scores


def present_device(name: str) -> str:
    """Return the device's name if this machine has it.

    Args:
        name: A torch device name.

    Raises:
        ConfigError: It is a CUDA device, and torch sees none.
    """
    if torch.device(name).type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"device {name!r} is not here: torch {torch.__version__} sees no CUDA device")
    return name


def _with_encoder(config: RunConfig) -> RunConfig:
    """The configuration with the encoder that its pretrained checkpoint was made with, and options given beside it.

    An encoder without weights, or one that is `pretrained` wherever it is made, needs no checkpoint.

    Raises:
        ConfigError: A flow map without a pretrained encoder, or options for another encoder than that.
    """
    if not config.pretrained_encoder:
        encoder = build("encoders", config.encoder)
        if getattr(encoder, "pretrained", False) or not is_trained(encoder):
            return config
        raise ConfigError("a flow map wants --pretrained_encoder FOLDER, the run of a trained autoencoder")
    trained = checkpoint.load(config.pretrained_encoder).config.encoder
    if config.encoder.options and config.encoder.name != trained.name:
        raise ConfigError(
            f"options for the encoder {config.encoder.name!r}, but {config.pretrained_encoder} holds {trained.name!r}"
        )
    return replace(config, encoder=Item(trained.name, {**trained.options, **config.encoder.options}))


def _with_classes(config: RunConfig, data: str | Path) -> RunConfig:
    """The configuration with the names of the data's classes, if they are what a flow map is conditioned on."""
    if config.condition != "class":
        return config
    split = config.dataset.options.get("split", "train")
    names = image_classes(data, split) if holds_images(data) else sorted(set(class_names(data, split)))
    if not any(names):
        raise ConfigError(f"{data}: condition 'class' wants classes, and these data have none")
    return replace(config, classes=list(names))


def restore(folder: str | Path, device: str = "cpu") -> tuple[Any, checkpoint.Checkpoint]:
    """Return the model of a checkpoint folder, ready to generate, and the checkpoint itself.

    Args:
        folder: Folder of the checkpoint.
        device: Where the model goes.

    Raises:
        CheckpointError: The checkpoint is missing, truncated, newer, or does not fit its configuration.
        ConfigError: The device is not there.
    """
    saved = checkpoint.load(folder)
    model = PointModel(saved.config) if saved.config.task == "points" else LatentModel(saved.config)
    checkpoint.fill(model, saved.weights, folder)
    return model.to(present_device(device)).eval().requires_grad_(False), saved


def _objective(config: RunConfig, student: Model, device: str) -> Objective:
    """The objective; a teacher given as a checkpoint folder becomes its frozen flow map.

    Raises:
        ConfigError: The teacher is no flow map, or its latents or condition are not the student's.
    """
    item = config.objective
    folder = item.options.get("teacher")
    if not isinstance(folder, str):
        return build("objectives", item)
    teacher, saved = restore(folder, device)
    if saved.config.task == "autoencoder" or type(teacher) is not type(student):
        raise ConfigError(
            f"objective.teacher must be the run of a flow map of the same kind, {folder} holds {saved.config.task!r}"
        )
    for part in ("autoencoder", "scale"):
        own, other = (getattr(model, part, nn.Module()).state_dict() for model in (student, teacher))
        if own.keys() != other.keys() or any(not torch.equal(own[k], other[k].to(own[k].device)) for k in own):
            raise ConfigError(f"objective.teacher must have the student's latents, but the {part} of {folder} differs")
    for part in ("condition", "classes"):
        own, other = (getattr(one, part) for one in (config, saved.config))
        if own != other:
            raise ConfigError(
                f"objective.teacher must have the student's {part}, {own or 'none'}, but {folder} has {other}"
            )
    return build("objectives", replace(item, options={**item.options, "teacher": teacher.flow_map}))


def _wanted_views(encoder: Any) -> dict[str, Any]:
    """Options that a dataset needs for an encoder that does not read grids."""
    return {"surface": encoder.points, "grid": False} if encoder.reads == "surface" else {}


def _dataset(config: RunConfig, **given: object) -> Any:
    return build("datasets", config.dataset, **given)


def _encoder_weights(config: RunConfig) -> dict[str, Tensor]:
    weights = checkpoint.load(config.pretrained_encoder).weights
    prefix = "autoencoder."
    return {name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)}
