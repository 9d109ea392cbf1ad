"""Nothing of the site comes from elsewhere: notebooks get formulas that are made while it is built, and no loaders."""

import html as entities
import re
from typing import Any

from latex2mathml.converter import convert

FORMULA = re.compile(r"\$\$(.+?)\$\$|(?<!\\)\$(?!\s)([^$<>\n]+?)(?<!\s)\$", re.DOTALL)
SCRIPT = re.compile(r"<script\b([^>]*)>(.*?)</script>", re.DOTALL)
VERBATIM = re.compile(r"(<(?:pre|code|script|style)\b.*?</(?:pre|code|script|style)>)", re.DOTALL)


def on_page_content(html: str, page: Any, **_: Any) -> str:
    """Write the formulas of notebooks as MathML, and leave out what would fetch a library from another host."""
    if not page.file.src_uri.endswith(".ipynb"):
        return html
    local = SCRIPT.sub(lambda script: "" if _fetches(*script.groups()) else script[0], html)
    parts = VERBATIM.split(local)  # text and what is verbatim take turns
    return "".join(part if i % 2 else FORMULA.sub(_mathml, part) for i, part in enumerate(parts))


def _fetches(attributes: str, body: str) -> bool:
    foreign = re.search(r"""src=["'](?:https?:)?//""", attributes) or "mathjax-config" in attributes
    return bool(foreign) or ('type="module"' in attributes and 'import("https://' in body)


def _mathml(formula: re.Match[str]) -> str:
    shown, inline = formula.groups()
    return convert(entities.unescape(shown or inline), display="block" if shown else "inline")
