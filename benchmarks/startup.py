"""How long geomflow takes to start: the command's help, and the import, each beside what it must cost.

python -m benchmarks.startup --out docs/results
"""

import argparse
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROUNDS = 10
WHERE = "two cores with other work"
COMMANDS = {
    "bare Python": [sys.executable, "-c", "pass"],
    "`import geomflow`": [sys.executable, "-c", "import geomflow"],
    "`geomflow --help`": [sys.executable, "-m", "geomflow.cli", "--help"],
    "`geomflow list presets`": [sys.executable, "-m", "geomflow.cli", "list", "presets"],
    "`from geomflow import Pipeline` (torch)": [sys.executable, "-c", "from geomflow import Pipeline"],
    "`import torch`": [sys.executable, "-c", "import torch"],
}


def seconds(command: list[str]) -> float:
    """Wall time of one process."""
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def table(times: dict[str, list[float]]) -> str:
    """Best and median of each command, and the median over rounds of what it takes beyond bare Python."""
    bare = times["bare Python"]
    rows = ["| command | best, s | median, s | beyond bare Python, s |", "| --- | --- | --- | --- |"]
    for name, taken in times.items():
        beyond = statistics.median(mine - other for mine, other in zip(taken, bare, strict=True))
        rows.append(f"| {name} | {min(taken):.3f} | {statistics.median(taken):.3f} | {beyond:.3f} |")
    return "\n".join(rows) + "\n"


def main() -> None:
    """Print the table and, if asked, write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rounds = [{name: seconds(command) for name, command in COMMANDS.items()} for _ in range(ROUNDS + 1)][1:]
    text = table({name: [times[name] for times in rounds] for name in COMMANDS})
    print(text)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "startup.md").write_text(
            "# Startup\n\n    python -m benchmarks.startup --out docs/results\n\n"
            f"Wall time of a fresh process; commands take turns, best and median of {ROUNDS} rounds after one that\n"
            f"warms the disk's cache. Python {platform.python_version()}, {platform.machine()}, {WHERE}.\n\n{text}\n"
            "The package and its command load torch only where a verb or a name needs it (`tests/test_imports.py`).\n"
        )


if __name__ == "__main__":
    main()
