"""Images in few steps: four formulations, plain training, consistency, distillation, guidance; tables and sheets.

python -m benchmarks.images build/fashion-mnist --runs build/runs/images --out docs/results
python -m benchmarks.images build/fashion-mnist --runs build/runs/images --only edm plain-edm --device cuda

Every run is a preset, `image_unet` or `image_transformer`, but for the settings in RUNS. What is measured already is
not done again, so that runs may be made one by one, on other machines too. The distance is that of the protocol
`fashion-mnist`, of 5,000 images (classes in turn, seeds 0 to 4999) from the test split.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from geomflow import shelves
from geomflow.config import RunConfig, override
from geomflow.image_sets import load_image_set
from geomflow.metrics.image_features import classifier_frechet, load_classifier
from geomflow.pipelines._latents import noise_of
from geomflow.pipelines.images import ImagePipeline
from geomflow.train import train
from geomflow.viz import image_sheet, save_png

PLAIN = {"objective": "instantaneous"}
DDIM, U, X1 = ({"formulation": name} for name in ("ddim", "u_prediction", "x1_prediction"))
EDM = {"formulation": "edm", "formulation.sigma_data": "1.0"}
GUIDED, LONG = {"guidance.scale": "1.5"}, {"optimization.steps": "8000"}
WIDE, EARLY = {"times.widest_share": "0.4"}, {"times.warm_up": "0.1", "times.full_span": "0.2"}
UNET: dict[str, dict[str, str]] = {
    "edm": EDM,
    "u": U,
    "x1": X1,
    "ddim": DDIM,
    "plain-edm": {**EDM, **PLAIN},
    "plain-u": {**U, **PLAIN},
    "plain-x1": {**X1, **PLAIN},
    "plain-ddim": {**DDIM, **PLAIN},
    "consistency": {**EDM, "objective": "consistency"},
    "distillation": {**EDM, "objective": "distillation", "objective.teacher": "{runs}/plain-edm"},
    "lagrangian": {**EDM, "objective": "lagrangian"},
    "unconditional": {**EDM, "condition": ""},
    "guided": {**EDM, **GUIDED},
    "u-average": {**U, "optimization.averaged_targets": "true", "optimization.ema": "0.99"},
    "u-few-instants": {**U, "times.instantaneous_share": "0.25"},
    "u-early": {**U, **EARLY},
    "u-wide": {**U, **WIDE},
    "u-early-wide": {**U, **EARLY, **WIDE},
    "u-early-wide-guided": {**U, **EARLY, **WIDE, **GUIDED},
    "edm-8000": {**EDM, **LONG},
    "u-8000": {**U, **LONG},
    "plain-edm-8000": {**EDM, **PLAIN, **LONG},
}
SLOW = {"optimization.steps": "4000"}
TRANSFORMER: dict[str, dict[str, str]] = {
    "transformer": {},
    "transformer-4000": SLOW,
    "transformer-4000-guided": {**SLOW, **GUIDED},
    "transformer-4000-edm": {**SLOW, **EDM},
    "plain-transformer-4000": {**SLOW, **PLAIN},
}
RUNS = {
    **{name: ("image_unet", settings) for name, settings in UNET.items()},
    **{name: ("image_transformer", settings) for name, settings in TRANSFORMER.items()},
}
"""Preset and settings of every run, by name."""

COUNT, BATCH = 5_000, 1_250
JUMPS, EULER = (1, 2, 4, 8, 128), (1, 2, 4, 64, 128)


def config_of(name: str, runs: Path) -> RunConfig:
    """The configuration of a run."""
    preset, settings = RUNS[name]
    return override(shelves.load("presets", preset), {key: text.format(runs=runs) for key, text in settings.items()})


@torch.no_grad()
def draw(pipeline: ImagePipeline, count: int, steps: int, euler: bool) -> np.ndarray:
    """Images, classes in turn."""
    flow_map, device = pipeline.model.flow_map, pipeline.model.scale.mean.device
    parts = []
    for start in range(0, count, BATCH):
        noise = noise_of(pipeline.model, min(BATCH, count - start), start)
        classes = (torch.arange(start, start + len(noise), device=device)) % max(1, len(pipeline.classes))
        condition = {"class": classes} if pipeline.classes else None
        if euler:
            latents = flow_map.sample_ode(noise, steps, "euler", condition=condition)
        else:
            latents = flow_map.sample(noise, steps, condition=condition)
        parts.append(pipeline.decode(pipeline.model.scale.restore(latents)))
    return np.concatenate(parts)


def measure(run: Path, data: Path, device: str) -> dict[str, Any]:
    """Distances of a trained run by numbers of jumps and of Euler steps, and what it cost."""
    pipeline = ImagePipeline.from_pretrained(run, device)
    classifier = load_classifier().to(device)
    reference, pool = (load_image_set(data, split).images for split in ("test", "train"))
    facts = pipeline.saved.facts
    found: dict[str, Any] = {"training seconds": facts["training_seconds"], "steps": facts["step"], "device": device}
    plain = pipeline.saved.config.objective.name == "instantaneous"
    for kind, grid in (("jumps", () if plain else JUMPS), ("euler", EULER if plain else (64,))):
        for steps in grid:
            images = draw(pipeline, COUNT, steps, kind == "euler")
            score = classifier_frechet(images, reference, pool[:20_000], classifier=classifier)
            found[f"{kind}-{steps}"] = round(score.distance, 3)
            found["floor"] = round(score.floor, 3)
    return found


def make(name: str, data: Path, runs: Path, device: str) -> None:
    """Train and measure a run, as far as that is not done."""
    run, started = runs / name, time.perf_counter()
    if (run / "scores.json").is_file():
        return
    if not (run / "config.json").is_file():
        train(config_of(name, runs), data, run, device=device, progress=False)
    (run / "scores.json").write_text(json.dumps(measure(run, data, device), indent=2) + "\n")
    print(f"{name}: {time.perf_counter() - started:.0f} s", flush=True)


def main() -> None:
    """Make runs; print and write the table and the sheet of those that are there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--runs", type=Path, default=Path("build/runs/images"))
    parser.add_argument("--only", nargs="*", choices=RUNS, default=tuple(RUNS))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, help="folder of the table and the sheet")
    options = parser.parse_args()
    for name in options.only:
        make(name, options.data, options.runs, options.device)
    if options.out:
        write(options.runs, options.out)


HEAD = """# Images in few steps

    python -m benchmarks.images build/fashion-mnist --out docs/results

Fashion-MNIST, 28 x 28. Frechet distance on features of
[our own classifier](../../geomflow/metrics/weights/README.md) of 5,000 images (classes in turn) from the 10,000 test
images; a perfect model would score {floor:.2f}. `jumps` are those of the flow map, one network call each; `Euler` is
the ODE of the same weights, which for EDM and DDIM is the DDIM sampler. A name says what was changed of the preset
(`RUNS` in the benchmark; U-Nets without a formulation in their name are EDM): the formulation, `plain` for training on
instants alone, settings of the jumps, steps. Minutes are those of training on a shared GPU, up to eight runs side by
side.
"""


def write(runs: Path, out: Path) -> None:
    """The tables of all runs that are measured, and a sheet of the embedded model: rows of 1, 2, 4 and 128 jumps."""
    found = {name: json.loads((runs / name / "scores.json").read_text()) for name in RUNS if _measured(runs / name)}
    lines = [HEAD.format(floor=next(iter(found.values()))["floor"])]
    for title, names in (("U-Net", UNET), ("Transformer", TRANSFORMER)):
        columns = [f"jumps-{n}" for n in JUMPS] + [f"euler-{n}" for n in EULER]
        heads = [column.replace("euler", "Euler").replace("-", " ") for column in columns]
        lines += [
            f"\n## {title}\n",
            f"| run | steps | {' | '.join(heads)} | minutes |",
            "| --- " * (len(columns) + 3) + "|",
        ]
        for name in (name for name in names if name in found):
            scores = found[name]
            cells = [f"{scores[column]:.2f}" if column in scores else "" for column in columns]
            lines.append(
                f"| {name} | {scores['steps']:,} | {' | '.join(cells)} | {scores['training seconds'] / 60:.1f} |"
            )
    lines += ["", "![Two of each class, by rows in 1, 2, 4 and 128 network calls from the same noise](images.png)", ""]
    lines.append(
        "*The embedded model `fashion`: two of each class, from the same noise in 1, 2, 4 and 128 network calls.*"
    )
    print("\n".join(lines))
    (out / "images.md").write_text("\n".join(lines) + "\n")
    pipeline = ImagePipeline.from_pretrained("fashion")
    rows = [draw(pipeline, 20, steps, euler=False)[..., 0] for steps in (1, 2, 4, 128)]
    save_png(image_sheet(list(np.concatenate(rows)), columns=20, size=56), out / "images.png")


def _measured(run: Path) -> bool:
    return (run / "scores.json").is_file()


if __name__ == "__main__":
    main()
