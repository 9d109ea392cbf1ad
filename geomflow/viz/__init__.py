"""Pictures and pages of shapes: without a display, in a notebook, in a file that opens offline."""

from geomflow.viz.dots import render_points, render_skeleton
from geomflow.viz.ray_caster import render
from geomflow.viz.sheets import contact_sheet, image_sheet, save_png

__all__ = ["contact_sheet", "image_sheet", "render", "render_points", "render_skeleton", "save_png"]
