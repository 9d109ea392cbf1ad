"""Notebooks as they are read: a page opened in a browser, and figures drawn from the committed file alone."""

import base64
import io
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
from PIL import Image

from tests.conftest import ROOT
from tests.viz.browser import screenshot

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
FIRST, SHOTS = ROOT / "notebooks" / "01_meshes_and_signed_distances.ipynb", ROOT / "build" / "notebooks"
FIGURE = "application/vnd.plotly.v1+json"
LARGEST = 1_500_000
LIVELY = 60
"""Difference of a pixel's channels from which it is a shape's and not the grey of paper, text or shadow."""


def outputs(file: Path) -> list[dict]:
    """What the cells of a committed notebook show, by kind."""
    cells = nbformat.read(file, 4).cells
    return [out["data"] for cell in cells for out in cell.get("outputs", ()) if "data" in out]


def pictures(file: Path) -> list[np.ndarray]:
    """The pictures of a committed notebook, as bytes."""
    encoded = [data.get("image/png") or data.get("image/jpeg") for data in outputs(file)]
    return [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB"), dtype=int) for text in encoded if text
    ]


def lively(picture: np.ndarray) -> int:
    """Number of pixels with a colour of their own."""
    picture = picture.astype(int)
    return int((picture.max(axis=2) - picture.min(axis=2) > LIVELY).sum())


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_notebooks_are_committed_with_pictures_of_something_and_stay_small(file: Path) -> None:
    assert file.stat().st_size < LARGEST
    assert len(pictures(file)) >= 3
    assert all(picture.std() > 5 for picture in pictures(file))


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_figures_that_turn_have_a_still_and_no_script_comes_with_them(file: Path) -> None:
    for data in outputs(file):
        assert FIGURE not in data or "image/png" in data
        assert "<script" not in "".join(data.get("text/html", ""))


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_links_of_notebooks_lead_to_files(file: Path) -> None:
    text = "\n".join(cell.source for cell in nbformat.read(file, 4).cells if cell.cell_type == "markdown")
    links = re.findall(r"\]\((?!https?:)([^)#\s]+)", text)
    assert not [link for link in links if not (file.parent / link).exists()]


@pytest.mark.slow
def test_the_first_notebook_is_a_page_that_shows_all_its_pictures() -> None:
    exporters = pytest.importorskip("nbconvert.exporters")
    page, shown = SHOTS / f"{FIRST.stem}.html", pictures(FIRST)
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.write_text(exporters.HTMLExporter(exclude_input=True).from_filename(str(FIRST))[0])
    found = lively(screenshot(page, page.with_suffix(".png"), (1500, 9000)))
    assert found == pytest.approx(sum(map(lively, shown)), rel=0.05)


@pytest.mark.slow
def test_the_figure_of_the_first_notebook_is_drawn_offline_from_what_is_committed() -> None:
    plotly = pytest.importorskip("plotly.graph_objects")
    page = SHOTS / "figure.html"
    SHOTS.mkdir(parents=True, exist_ok=True)
    figure = plotly.Figure(next(data[FIGURE] for data in outputs(FIRST) if FIGURE in data))
    page.write_text(figure.to_html(include_plotlyjs=True))
    drawn = screenshot(page, page.with_suffix(".png"), (1000, 460)).astype(int)
    blue, red = drawn[..., 2] - drawn[..., 0] > LIVELY, drawn[..., 0] - drawn[..., 2] > LIVELY / 2
    assert blue[:, :450].mean() > 0.05  # the mesh
    assert blue[:, 450:].mean() > 0.05  # slices, outside
    assert red[:, 450:].mean() > 0.001  # and inside
    assert red[:, :450].mean() < 0.001
