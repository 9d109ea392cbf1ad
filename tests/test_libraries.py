"""Optional libraries: there, or missed in one sentence that says how to have them."""

import math
import sys

import pytest

from geomflow.errors import GeomflowError, LibraryMissing
from geomflow.libraries import library


def test_a_library_that_is_there_is_its_module():
    assert library("math", "arithmetic", "python") is math


def test_a_missing_one_is_named_with_its_cure(monkeypatch):
    for module in ("plotly", "plotly.graph_objects"):
        monkeypatch.setitem(sys.modules, module, None)  # how Python says that a module is not to be found
    with pytest.raises(LibraryMissing) as caught:
        library("plotly.graph_objects", "a page that turns", "geomflow[viz]")
    assert str(caught.value) == "a page that turns needs plotly: pip install 'geomflow[viz]'"
    assert isinstance(caught.value, GeomflowError)
    assert isinstance(caught.value, ImportError)


def test_what_a_library_lacks_itself_is_not_hidden(tmp_path, monkeypatch):
    (tmp_path / "lame.py").write_text("import a_module_that_nobody_has\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="a_module_that_nobody_has") as caught:
        library("lame", "walking", "lame")
    assert not isinstance(caught.value, LibraryMissing)
