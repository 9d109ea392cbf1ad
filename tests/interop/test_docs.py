"""The examples of docs/interop.md, run as they stand there."""

import re
from pathlib import Path

import pytest

from geomflow.errors import LibraryMissing

PAGE = Path(__file__).resolve().parents[2] / "docs" / "interop.md"
EXAMPLES = re.findall(r"^## ([^\n]+)\n(?:(?!^## ).)*?```python\n(.*?)```", PAGE.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(("title", "code"), EXAMPLES, ids=[title for title, _ in EXAMPLES])
def test_an_example_runs(title, code, tmp_path, monkeypatch, unchecked_shapes):
    monkeypatch.chdir(tmp_path)
    try:
        exec(compile(code, f"{PAGE.name}: {title}", "exec"), {})
    except LibraryMissing as missing:
        pytest.skip(str(missing))


def test_every_example_is_run():
    assert len(EXAMPLES) == PAGE.read_text().count("```python") == 8
