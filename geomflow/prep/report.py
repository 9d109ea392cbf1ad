"""The report: a page on a dataset that opens offline: what is there, what failed and why, and what looks doubtful."""

import base64
import html
import io
from collections import Counter
from collections.abc import Iterable

import numpy as np
import trimesh
from PIL import Image

from geomflow.errors import RecordError
from geomflow.prep.manifest import Entry
from geomflow.records import parse_record
from geomflow.storage import Folder
from geomflow.viz import render

NAME = "report.html"
WORST = 12
"""Records that are drawn: those with flags, the most doubtful first."""

LISTED = 200
"""Failures that are listed; all of them are in the quarantine."""

SIZE = 140
"""Pixels per side of a picture."""

MOST_FACES = 200_000
"""Faces up to which a shape is drawn."""

STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse;margin:1rem 0}"
    "td{overflow-wrap:anywhere}td,th{padding:.2rem .8rem;border-bottom:1px solid #ddd;text-align:left}"
    "figure{display:inline-block;width:140px;margin:.5rem;vertical-align:top}figcaption{font-size:12px;color:#555}"
)


def page(folder: Folder, entries: dict[str, Entry], pictures: bool = True) -> bytes:
    """Return the page, which depends on the records and failures alone.

    Args:
        folder: The dataset.
        entries: Its manifest.
        pictures: Whether the most doubtful shapes are drawn.
    """
    ordered = [entries[name] for name in sorted(entries)]
    done = [entry for entry in ordered if entry.status == "done"]
    failed = [entry for entry in ordered if entry.status == "failed"]
    kinds = Counter(entry.error.split(":")[0] for entry in failed)
    doubts = Counter(flag for entry in done for flag in entry.flags)
    parts = [
        f"<h1>{len(done)} records, {len(failed)} failures</h1>",
        _table(("class", "split", "records"), _counted((e.class_name or "-", e.split) for e in done)),
        "<h2>Failures</h2>" if failed else "",
        _table(("reason", "meshes"), kinds.most_common()),
        "<h2>Doubtful</h2>" if doubts else "",
        _table(("flag", "records"), doubts.most_common()),
        *(_figure(folder, entry) for entry in _worst(done) if pictures),
        f"<h2>The first {min(len(failed), LISTED)} failures</h2>" if failed else "",
        _table(("id", "reason"), [(entry.id, entry.error) for entry in failed[:LISTED]]),
    ]
    title = "<!doctype html><meta charset='utf-8'><title>Prepared dataset</title>"
    return f"{title}<style>{STYLE}</style>{''.join(parts)}\n".encode()


def _counted(keys: Iterable[tuple[str, str]]) -> list[tuple[str, str, int]]:
    return [(*key, count) for key, count in sorted(Counter(keys).items())]


def _table(head: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> str:
    lines = ["".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) for row in rows]
    titles = "".join(f"<th>{name}</th>" for name in head)
    return f"<table><tr>{titles}</tr>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>" if lines else ""


def _worst(done: list[Entry]) -> list[Entry]:
    flagged = [entry for entry in done if entry.flags]
    return sorted(flagged, key=lambda entry: (-entry.doubt, -len(entry.flags), entry.id))[:WORST]


def _figure(folder: Folder, entry: Entry) -> str:
    try:
        record = parse_record(folder.read(entry.file), entry.file)
    except (OSError, RecordError):
        return ""
    if len(record.faces) > MOST_FACES:
        return ""
    mesh = trimesh.Trimesh(record.vertices.astype(np.float64), record.faces, process=False)
    picture = io.BytesIO()
    Image.fromarray(render(mesh, SIZE)).save(picture, "PNG")
    source = base64.b64encode(picture.getvalue()).decode()
    about = html.escape(f"{entry.id}: {', '.join(entry.flags)}; {100 * entry.doubt:.1f} % of the near signs doubted")
    return f"<figure><img width={SIZE} src='data:image/png;base64,{source}'><figcaption>{about}</figcaption></figure>"
