"""Pages of the site that live outside of docs/: model cards, notebooks, CONTRIBUTING, sources that pages point to.

Links in the documents are those of the repository, so that they work wherever it is browsed. While the site is built,
what they lead to becomes a page, and they are turned towards it.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files, InclusionLevel

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"(?<=\]\()(?!\w+:|#|/)([^)#\s]+)(?=[)#])")
NOTEBOOK_LINK = re.compile(r'(?<=href=")(?!\w+:|#|/)([^"#]+)(?=["#])')
SOURCES = re.compile(r"(?<=\]\()(?:\.\./)+((?:geomflow|data_prep|benchmarks|tests)/[^)#]+\.py)(?=[)#])")


def pages() -> dict[str, str]:
    """Return where each document outside of docs/ is in the site, by its place in the repository."""
    found = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
    found |= {str(card): f"models/{card.parent.name}.md" for card in _listed("geomflow/models/*/README.md")}
    found |= {str(card): "models/fashion_classifier.md" for card in _listed("geomflow/metrics/weights/README.md")}
    return found | {str(book): str(book) for book in _listed("notebooks/*.ipynb")}


def sources() -> dict[str, str]:
    """Return where each source file that a document points to is in the site."""
    documents = [*(ROOT / "docs").rglob("*.md"), *(ROOT / place for place in pages() if place.endswith(".md"))]
    linked = {path for document in documents for path in SOURCES.findall(document.read_text())}
    return {path: f"source/{path}.md" for path in linked if (ROOT / path).is_file()}


def _listed(pattern: str) -> list[Path]:
    return [file.relative_to(ROOT) for file in sorted(ROOT.glob(pattern))]


@event_priority(100)  # before the plugin that takes notebooks out of the files
def on_files(files: Files, config: Any) -> Files:
    """Add the documents and the sources to the files of the site."""
    for place, page in pages().items():
        files.append(_document(place, page, config))
    for place, page in sources().items():
        text = f"# {place}\n\n```python\n{(ROOT / place).read_text()}\n```\n"
        files.append(File.generated(config, page, content=text, inclusion=InclusionLevel.NOT_IN_NAV))
    return files


def _document(place: str, page: str, config: Any) -> File:
    """A document of the repository as a file of the site; notebooks keep their place, which their plugin wants."""
    if place == page:
        return File(page, str(ROOT), config.site_dir, config.use_directory_urls)
    return File.generated(config, page, abs_src_path=str(ROOT / place))


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turn links that leave docs/ towards the pages that stand for what they lead to."""
    return LINK.sub(lambda link: _turned(link[1], page.file.src_uri), markdown)


def on_page_content(html: str, page: Any, files: Files, **_: Any) -> str:
    """Turn the links of notebooks, which are HTML already."""
    if not page.file.src_uri.endswith(".ipynb"):
        return html
    return NOTEBOOK_LINK.sub(lambda link: _address(_turned(link[1], page.file.src_uri), page, files), html)


def _turned(link: str, page: str) -> str:
    """A link of a page as it is in the site, if it is to something that the site has elsewhere than the repository."""
    site = pages() | sources()
    home = {there: here for here, there in site.items()}.get(page, f"docs/{page}")
    target = posixpath.normpath(posixpath.join(posixpath.dirname(home), link))
    there = site.get(target) or (target.removeprefix("docs/") if target.startswith("docs/") else None)
    return posixpath.relpath(there, posixpath.dirname(page) or ".") if there else link


def _address(link: str, page: Any, files: Files) -> str:
    """The address of a source file's page, as the browser sees it from a page."""
    there = files.get_file_from_path(posixpath.normpath(posixpath.join(posixpath.dirname(page.file.src_uri), link)))
    if there is None:
        raise ValueError(f"{page.file.src_uri}: {link} is not there")
    return there.url_relative_to(page.file)
