"""A browser without a window, to look at the pages that geomflow writes."""

import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--enable-unsafe-swiftshader",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--hide-scrollbars",
    "--no-first-run",
    "--disable-background-networking",
    "--virtual-time-budget=20000",
)
SECONDS = 240


def screenshot(page: Path, out: Path, size: tuple[int, int] = (1200, 800)) -> np.ndarray:
    """What a page looks like (height, width, 3), also written to a PNG file; skips the test without a browser."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip(f"no browser found, looked for {', '.join(BROWSERS)}")
    with tempfile.TemporaryDirectory() as profile:
        options = [*OPTIONS, f"--user-data-dir={profile}", f"--window-size={size[0]},{size[1]}", f"--screenshot={out}"]
        command = [browser, *options, page.resolve().as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert out.is_file(), done.stderr[-500:]
    return np.asarray(Image.open(out).convert("RGB"))
