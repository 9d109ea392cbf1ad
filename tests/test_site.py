"""The site: built without a warning, whole, and nothing in it comes from another host."""

import os
import re
import subprocess
import sys
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.test_documentation import definitions

ROOT = Path(__file__).resolve().parent.parent
INNER = {"commands", "kernels", "cli", "kdtree", "warp", "tree", "launch", "warp_runtime", "warp_triangles"}
"""Rooms whose functions are for geomflow itself: verbs have --help, backends are behind `ops`."""

pytestmark = pytest.mark.slow


class Links(HTMLParser):
    """What a page points to, what it loads, and the names of its parts."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.followed, self.loaded, self.names = set(), set(), set()
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if given.get("id"):
            self.names.add(given["id"])
        if tag == "a" and given.get("href"):
            self.followed.add(given["href"])
        if tag in ("script", "img", "iframe", "source") and given.get("src"):
            self.loaded.add(given["src"])
        if tag == "link" and given.get("rel") != "canonical" and given.get("href"):
            self.loaded.add(given["href"])


@cache
def links(page: Path) -> Links:
    return Links(page)


def is_local(link: str) -> bool:
    return not urlsplit(link).scheme and not link.startswith("//")


def target(page: Path, link: str) -> Path:
    path = unquote(urlsplit(link).path)
    found = (page.parent / path).resolve() if path else page
    return found / "index.html" if found.is_dir() else found


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    pytest.importorskip("mkdocs", reason="the site needs geomflow[docs]")
    out = tmp_path_factory.mktemp("site").resolve()
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(out)]
    quiet = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=quiet, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "WARNING" not in done.stderr
    return out


def test_every_page_is_reached_from_the_first(site):
    todo, reached = [site / "index.html"], set()
    while todo:
        page = todo.pop()
        if page not in reached:
            reached.add(page)
            local = (target(page, link) for link in links(page).followed if is_local(link))
            todo += [place for place in local if place.suffix == ".html" and place.exists()]
    pages = {page for page in site.rglob("*.html") if page.name != "404.html"}
    assert not pages - reached
    assert len(pages) > 60


def test_every_link_leads_somewhere(site):
    for page in {page for page in site.rglob("*.html") if page.name != "404.html"}:
        for link in filter(is_local, links(page).followed | links(page).loaded):
            place, name = target(page, link), unquote(urlsplit(link).fragment)
            assert place.exists(), f"{page.relative_to(site)}: {link}"
            if place.suffix == ".html" and name and not name.startswith("__"):
                assert name in links(place).names, f"{page.relative_to(site)}: {link}"


def test_nothing_is_fetched_from_another_host(site):
    for page in site.rglob("*.html"):
        foreign = {link for link in links(page).loaded if not is_local(link) and urlsplit(link).scheme != "data"}
        assert not foreign, page.relative_to(site)
        assert not re.search(r"""import\(["']https?://|fonts\.googleapis""", page.read_text()), page.relative_to(site)
    for sheet in site.rglob("*.css"):
        assert not re.search(r"""url\(["']?(https?:)?//|@import ["'](https?:)?//""", sheet.read_text()), sheet.name


def test_formulas_are_there_without_a_script(site):
    page = (site / "notebooks" / "02_flow_maps_in_2d.html").read_text()
    assert "<math" in page
    assert "psi_{t" not in re.sub(r"<annotation.*?</annotation>", "", page)


def test_the_reference_is_whole(site):
    found = set().union(*(links(page).names for page in (site / "reference").glob("*.html")))
    for definition in definitions():
        module = definition.file.relative_to(ROOT).with_suffix("")
        if definition.node.name != "__call__" and not INNER & set(module.parts):
            parts = [part for part in module.parts if part != "__init__"]
            owner = [definition.owner.name] if definition.owner else []
            assert ".".join([*parts, *owner, definition.node.name]) in found
