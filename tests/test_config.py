"""Configurations: TOML and back, overrides, and errors that list what is known."""

import pytest

from geomflow import shelves
from geomflow.config import Item, RunConfig, from_dict, override, read_toml, to_dict, write_toml
from geomflow.errors import ConfigError


@pytest.mark.parametrize("preset", shelves.names("presets"))
def test_presets_survive_toml(preset, tmp_path):
    config = shelves.load("presets", preset)
    write_toml(config, tmp_path / "run.toml")
    assert read_toml(tmp_path / "run.toml") == config
    assert from_dict(to_dict(config)) == config


def test_overrides_change_what_they_name_and_nothing_else():
    base = RunConfig(task="autoencoder", dataset=Item("sdf_samples", {"points": 64}))
    changed = override(base, {"optimization.steps": "7", "encoder.widths": "[16, 16, 16]", "dataset.split": "val"})
    assert changed.optimization.steps == 7
    assert changed.encoder.options == {"widths": [16, 16, 16]}
    assert changed.dataset == Item("sdf_samples", {"points": 64, "split": "val"})
    assert changed.network == base.network
    assert override(base, {"encoder": "other"}).encoder == Item("other")


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        (
            {"task": "autoencoder", "dataset": {"name": "a"}, "netwrok": {}},
            r"no setting 'netwrok'; it has task, dataset",
        ),
        (
            {"task": "painting", "dataset": {"name": "a"}},
            "task must be one of autoencoder, flow_map, points, not 'painting'",
        ),
        ({"task": "autoencoder"}, r"no \[dataset\] table"),
        ({"task": "autoencoder", "dataset": {"split": "x"}}, r"\[dataset\] must be a table with the name"),
        ({"task": "points", "dataset": "a", "manifolds": "sphere"}, r"\[manifolds\] must be a table of settings"),
        ({"task": "autoencoder", "dataset": "a", "optimization": {"stepz": 1}}, "no setting 'stepz'; it has steps"),
        ({"task": "autoencoder", "dataset": "a", "optimization": {"steps": "many"}}, "steps must be int, not 'many'"),
        ({"task": "autoencoder", "dataset": "a", "optimization": {"steps": 0}}, "steps must be at least 1"),
        ({"task": "autoencoder", "dataset": "a", "optimization": {"precision": "half"}}, "one of float32, bfloat16"),
        (
            {"task": "autoencoder", "dataset": "a", "optimization": {"sharded": True, "optimizer": "muon"}},
            r"optimization\.sharded wants optimization\.optimizer 'adamw', as 'muon' wants whole matrices",
        ),
    ],
)
def test_what_is_not_known_is_named_with_what_is(tables, message):
    with pytest.raises(ConfigError, match=message):
        from_dict(tables)


def test_file_errors_name_the_file(tmp_path):
    with pytest.raises(ConfigError, match=r"none.toml: cannot be read"):
        read_toml(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("task = ")
    with pytest.raises(ConfigError, match=r"bad.toml: Invalid value"):
        read_toml(tmp_path / "bad.toml")
    with pytest.raises(ConfigError, match=r"--optimizer\.steps: no such setting"):
        override(shelves.load("presets", "sdf_autoencoder"), {"optimizer.steps": "3"})
