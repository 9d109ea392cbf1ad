"""The logs of a run: one JSON object per line and step, cut back to the last checkpoint where a run goes on."""

import json
from pathlib import Path
from typing import Any

from geomflow.files import write_atomically

LOG, SCORES = "log.jsonl", "scores.jsonl"


def append(path: Path, row: dict[str, Any]) -> None:
    """Add a row to a log, which is made if needed.

    Args:
        path: The log.
        row: What is added; JSON can write it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(row) + "\n")


def cut(folder: Path, step: int) -> None:
    """Drop rows of later steps, which a killed run wrote after its last checkpoint, and one that it did not finish.

    Args:
        folder: The run folder.
        step: The last step whose rows are kept.
    """
    for path in (folder / LOG, folder / SCORES):
        if path.is_file():
            lines = path.read_text().splitlines()
            kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= step]
            write_atomically(path, "".join(f"{line}\n" for line in kept).encode())
