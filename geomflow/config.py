"""A run as plain data: frozen, torch-free, to TOML and back, with an error for every unknown key.

A configuration names items of the shelves and their options; it builds nothing itself (see `geomflow.assemble`).
"""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from geomflow.errors import ConfigError

Precision = Literal["float32", "bfloat16"]
Optimizer = Literal["adamw", "muon"]
Task = Literal["autoencoder", "flow_map", "points"]


@dataclass(frozen=True)
class Item:
    """One item of a shelf: the name of its file, or a dotted path outside the package, and its options.

    Attributes:
        name: Its name on the shelf, or a dotted path outside of the package.
        options: What its `make` is given.
    """

    name: str
    options: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the item as one flat table."""
        return {"name": self.name, **self.options}


@dataclass(frozen=True)
class Optimization:
    """How weights are updated.

    Attributes:
        steps: Length of the training, which the learning rate's schedule spans.
        batch_size: Items of the dataset per step: shapes, or clouds of one shape's points.
        micro_batches: Parts that the batch of a step is cut into, which need less memory one after the other, or which
            several processes share; the number of processes must divide it. Results depend on it, and not on them.
        sharded: Whether several processes cut weights, AdamW's moments and the average among them (FSDP2), instead of
            having all of them whole; results do not depend on it.
        optimizer: `adamw`, or `muon` for networks that say which of their weights are hidden layers'.
        beta2: AdamW's memory of squared gradients; less suits short trainings.
        learning_rate: Peak of the schedule (linear warm-up, then a cosine to zero).
        warmup: Steps of the warm-up.
        second_stage: Part of the training at which a second one begins, unless 0: from the averaged weights, with the
            schedule from its start and, if targets are averaged, with those that this average makes.
        weight_decay: Decoupled decay.
        ema: Decay of the moving average of the weights, which is what a checkpoint's model holds.
        averaged_targets: Whether that average also makes the targets of a flow map's jumps, instead of the weights
            themselves.
        clip: Largest norm of the gradient.
        precision: Arithmetic of the network, `float32` or `bfloat16` autocast.
        compile: Whether a flow map's network is compiled (`torch.compile`), which wants a C++ compiler and, on a GPU,
            Triton; the first step then takes a minute or so.
        save_every: Steps between checkpoints, at which models of tasks with a judge are scored.
        stop_at: Score at which training may stop early, such as chamfer distance over its floor.
        seed: Decides initial weights, data order and noise.
    """

    steps: int = 10_000
    batch_size: int = 16
    micro_batches: int = 1
    sharded: bool = False
    optimizer: Optimizer = "adamw"
    beta2: float = 0.999
    learning_rate: float = 1e-3
    warmup: int = 100
    second_stage: float = 0.0
    weight_decay: float = 0.01
    ema: float = 0.999
    averaged_targets: bool = False
    clip: float = 1.0
    precision: Precision = "float32"
    compile: bool = False
    save_every: int = 500
    stop_at: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class RunConfig:
    """A training run.

    Attributes:
        task: `autoencoder` (shape to latent and back), `flow_map` (noise to latent: shapes, images, joints, strokes) or
            `points` (noise to points of one shape).
        dataset: What is trained on.
        reconstruction: Options of an autoencoder's loss.
        encoder: The autoencoder; for a flow map, the one that `pretrained_encoder` was made with.
        pretrained_encoder: Checkpoint folder of a trained autoencoder, wanted by the task `flow_map`.
        network: Two-time network of a flow map.
        formulation: Path, prediction and preconditioning of a flow map.
        objective: What ties finite jumps together.
        noise: Where paths begin.
        channels: Numbers of each part of a point, its coordinates first; filled in from the data.
        manifolds: Item of the shelf `manifolds` on which a part of a point lies, such as a sphere for `normals`; parts
            without one are plain numbers.
        condition: What a flow map is told beside state and times: `class`, `points`, `surface`, `image`, or nothing if
            empty.
        classes: Names of the classes in the order of their numbers; filled in from the data.
        guidance: Options of guidance by the condition, which is then dropped now and then; none if empty.
        times: Options of the distribution of time pairs.
        weight: Options of the weighting of errors.
        optimization: How weights are updated.
    """

    task: Task
    dataset: Item
    encoder: Item = Item("grid_autoencoder")
    reconstruction: dict[str, Any] = field(default_factory=dict)
    pretrained_encoder: str = ""
    network: Item = Item("diffusion_transformer")
    formulation: Item = Item("edm")
    objective: Item = Item("semigroup")
    noise: Item = Item("gaussian")
    channels: dict[str, int] = field(default_factory=dict)
    manifolds: dict[str, str] = field(default_factory=dict)
    condition: str = ""
    classes: list[str] = field(default_factory=list)
    guidance: dict[str, Any] = field(default_factory=dict)
    times: dict[str, Any] = field(default_factory=dict)
    weight: dict[str, Any] = field(default_factory=dict)
    optimization: Optimization = Optimization()


def to_dict(config: RunConfig) -> dict[str, Any]:
    """Return the configuration as nested tables, the form of config.json and TOML.

    Args:
        config: The configuration of the run.
    """
    return {f.name: _plain(getattr(config, f.name)) for f in fields(config)}


def from_dict(tables: Mapping[str, Any]) -> RunConfig:
    """Return the configuration that nested tables describe.

    Args:
        tables: One table per section, as in TOML.

    Raises:
        ConfigError: A key or value that is not known; the message lists the known ones.
    """
    _check_keys("run", tables, RunConfig)
    if tables.get("task") not in get_args(Task):
        raise ConfigError(f"task must be one of {', '.join(get_args(Task))}, not {tables.get('task')!r}")
    if "dataset" not in tables:
        raise ConfigError("the run has no [dataset] table with a name")
    values: dict[str, Any] = {key: _item(key, value) if key in _ITEMS else value for key, value in tables.items()}
    for name in ("channels", "manifolds", "reconstruction", "guidance", "times", "weight", "optimization"):
        if not isinstance(values.get(name, {}), Mapping):
            raise ConfigError(f"[{name}] must be a table of settings, given {values[name]!r}")
    for name, what in (
        ("pretrained_encoder", "a folder's name"),
        ("condition", "one of class, points, surface, image"),
    ):
        if not isinstance(values.get(name, ""), str):
            raise ConfigError(f"{name} must be {what}, given {values[name]!r}")
    if "optimization" in values:
        values["optimization"] = _optimization(values["optimization"])
    return RunConfig(**values)


def read_toml(path: str | Path) -> RunConfig:
    """Return the configuration in a TOML file.

    Args:
        path: The TOML file.

    Raises:
        ConfigError: The file is missing, not TOML, or says something unknown; the message names the file.
    """
    try:
        return from_dict(tomllib.loads(Path(path).read_text()))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, ConfigError) as error:
        raise ConfigError(f"{path}: {error}") from error


def write_toml(config: RunConfig, path: str | Path) -> None:
    """Write the configuration as TOML that `read_toml` reads back to an equal one.

    Args:
        config: The configuration of the run.
        path: The TOML file.
    """
    tables = to_dict(config)
    lines = [f"{key} = {_toml(value)}" for key, value in tables.items() if not isinstance(value, dict)]
    for name, table in tables.items():
        if isinstance(table, dict):
            lines += ["", f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in table.items())]
    Path(path).write_text("\n".join(lines) + "\n")


def override(config: RunConfig, changes: Mapping[str, str]) -> RunConfig:
    """Return the configuration with `section.key` values, given as text, put in.

    Args:
        config: Where values are put in; it stays as it is.
        changes: New values as text, by `section.key`.

    Raises:
        ConfigError: No such section or key, or a value of another type.
    """
    tables = to_dict(config)
    for dotted, text in changes.items():
        section, _, key = dotted.partition(".")
        if section not in tables or (key and not isinstance(tables[section], dict)):
            raise ConfigError(f"--{dotted}: no such setting; sections are {', '.join(tables)}")
        if key:
            tables[section] = {**tables[section], key: value_of(text)}
        else:
            tables[section] = {"name": text} if section in _ITEMS else value_of(text)
    return from_dict(tables)


def differences(old: RunConfig, new: RunConfig) -> list[str]:
    """Return one phrase per setting that results depend on and differs, such as `optimization.steps was 9, is 8`.

    Args:
        old: The configuration that was.
        new: The one that is.
    """
    one, two = _flat(to_dict(old)), _flat(to_dict(new))
    changed = [key for key in one | two if one.get(key) != two.get(key) and key not in _WITHOUT_EFFECT]
    return [f"{key} was {one.get(key)!r}, is {two.get(key)!r}" for key in changed]


def _flat(tables: Mapping[str, Any]) -> dict[str, Any]:
    """Nested tables as one, with dotted keys; lists as TOML and JSON give them."""
    flat = {}
    for name, value in tables.items():
        for key, inner in value.items() if isinstance(value, Mapping) else [("", value)]:
            flat[f"{name}.{key}" if key else name] = list(inner) if isinstance(inner, tuple) else inner
    return flat


_ITEMS = ("dataset", "encoder", "network", "formulation", "objective", "noise")
_WITHOUT_EFFECT = ("optimization.sharded",)


def _plain(value: Any) -> Any:
    if isinstance(value, Item):
        return value.as_dict()
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


def _item(section: str, table: Any) -> Item:
    if isinstance(table, str):
        return Item(table)
    if not isinstance(table, Mapping) or not isinstance(table.get("name"), str):
        raise ConfigError(f"[{section}] must be a table with the name of an item, given {table!r}")
    return Item(table["name"], {key: value for key, value in table.items() if key != "name"})


def _optimization(table: Mapping[str, Any]) -> Optimization:
    _check_keys("optimization", table, Optimization)
    default = Optimization()
    for key, value in table.items():
        wanted = type(getattr(default, key))
        fits = isinstance(value, (int, float) if wanted is float else wanted)
        if not fits or isinstance(value, bool) != (wanted is bool):
            raise ConfigError(f"optimization.{key} must be {wanted.__name__}, not {value!r}")
    if not 0 <= table.get("second_stage", 0) < 1:
        raise ConfigError(f"optimization.second_stage must lie in [0, 1), given {table['second_stage']}")
    for key, choices in (("precision", get_args(Precision)), ("optimizer", get_args(Optimizer))):
        if table.get(key, getattr(default, key)) not in choices:
            raise ConfigError(f"optimization.{key} must be one of {', '.join(choices)}, not {table[key]!r}")
    if table.get("sharded") and table.get("optimizer", default.optimizer) == "muon":
        raise ConfigError("optimization.sharded wants optimization.optimizer 'adamw', as 'muon' wants whole matrices")
    positive = [key for key in ("steps", "batch_size", "micro_batches", "save_every") if table.get(key, 1) < 1]
    if positive:
        raise ConfigError(f"optimization.{positive[0]} must be at least 1, not {table[positive[0]]}")
    return replace(default, **table)


def _check_keys(where: str, table: Mapping[str, Any], wanted: type) -> None:
    known = [f.name for f in fields(wanted)]
    unknown = sorted(set(table) - set(known))
    if unknown:
        raise ConfigError(f"{where} has no setting {unknown[0]!r}; it has {', '.join(known)}")


def value_of(text: str) -> Any:
    """Return a command-line value read as TOML, or as the bare word it is.

    Args:
        text: What stands on the command line.
    """
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _toml(value: Any) -> str:
    """JSON's spelling of numbers, strings, booleans and lists is TOML's too."""
    return json.dumps(value)
