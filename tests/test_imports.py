"""Rules of the house that a reader should be able to check: what loads what, and who knows whom."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from geomflow import shelves

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "geomflow"
FILES = sorted([*PACKAGE.rglob("*.py"), *(ROOT / "data_prep").rglob("*.py")])
HEAVY = {"open3d", "pyvista", "plotly", "matplotlib", "polyscope", "pytorch3d", "dask"}


def imported(tree: ast.AST) -> set[str]:
    """Modules named by import statements anywhere in a tree."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            assert all(alias.name != "*" for alias in node.names), "nothing imports *"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_optional_libraries_are_imported_inside_functions_only(file):
    tree = ast.parse(file.read_text())
    outside = [node for node in tree.body if not isinstance(node, ast.FunctionDef | ast.ClassDef)]
    top = {name.split(".")[0] for node in outside for name in imported(node)}
    assert not top & HEAVY


ITEMS = [(shelf, name) for shelf in shelves.SHELVES for name in shelves.names(shelf)]


@pytest.mark.parametrize(("shelf", "item"), ITEMS)
def test_items_of_a_shelf_do_not_know_each_other(shelf, item):
    names = imported(ast.parse((PACKAGE / shelf / f"{item}.py").read_text()))
    siblings = {f"geomflow.{shelf}.{other}" for other in shelves.names(shelf) if other != item}
    assert not {name for name in names if any(name.startswith(sibling) for sibling in siblings)}


@pytest.mark.parametrize(("shelf", "item"), ITEMS)
def test_every_item_has_a_documented_make(shelf, item):
    tree = ast.parse((PACKAGE / shelf / f"{item}.py").read_text())
    make = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "make"]
    assert len(make) == 1
    assert ast.get_docstring(make[0])
    assert ast.get_docstring(tree)


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import geomflow", {"torch", "numpy", "warp", "trimesh"}),
        ("from geomflow.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass", {"torch", "warp", "trimesh"}),
        ("import geomflow.geometry, geomflow.prep.runner, geomflow.records, data_prep.seating", {"torch"}),
        ("import geomflow.flow", {"trimesh", "warp"}),
        ("import geomflow.viz", {"torch", "plotly", "pyvista", "matplotlib", "imageio"}),
    ],
)
def test_imports_stay_light(statement, absent):
    code = f"{statement}\nimport sys\nsys.exit(' '.join({absent!r} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, f"loaded although it should not be: {done.stderr[-300:]}"


def test_lazy_names_resolve():
    import geomflow

    for name in geomflow.__all__:
        assert getattr(geomflow, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = geomflow.nonsense
