"""Pictures and pages of shapes: without a display, in a notebook, in a file that opens offline."""

from geomflow.viz.display import save_html, show
from geomflow.viz.dots import render_points, render_skeleton
from geomflow.viz.layers import Scene
from geomflow.viz.ray_caster import render
from geomflow.viz.scene import Trajectory, scene_of
from geomflow.viz.sheets import contact_sheet, image_sheet, save_png
from geomflow.viz.turning import turntable

__all__ = [
    "Scene",
    "Trajectory",
    "contact_sheet",
    "image_sheet",
    "render",
    "render_points",
    "render_skeleton",
    "save_html",
    "save_png",
    "scene_of",
    "show",
    "turntable",
]
