"""Amazon Berkeley Objects: the models' table, the listings' product types, and the terms of both releases."""

import gzip
import json

import pytest

from data_prep._table import report
from data_prep.abo import RECIPE, find
from geomflow.errors import RecordError

HEADER = "3dmodel_id,path,meshes,materials,textures,images,vertices,faces,extent_x,extent_y,extent_z"
MODELS = {"B01N2PLWIL": "L/B01N2PLWIL.glb", "B075QFCHM9": "9/B075QFCHM9.glb", "B07H469871": "1/B07H469871.glb"}


@pytest.fixture
def root(tmp_path):
    metadata = tmp_path / "3dmodels" / "metadata"
    metadata.mkdir(parents=True)
    lines = [HEADER, *(f"{name},{path},1,1,3,3,8,12,1.0,1.0,1.0" for name, path in MODELS.items())]
    (metadata / "3dmodels.csv.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    for path in list(MODELS.values())[:2]:
        file = tmp_path / "3dmodels" / "original" / path
        file.parent.mkdir(parents=True)
        file.touch()
    return tmp_path


def list_products(root, *listings):
    folder = root / "listings" / "metadata"
    folder.mkdir(parents=True)
    text = "\n".join(json.dumps(listing) for listing in listings)
    (folder / "listings_0.json.gz").write_bytes(gzip.compress(text.encode()))


def test_models_are_where_the_table_says_with_the_terms_of_the_release(root):
    found = find(root)
    assert [item.id for item in found.items] == list(MODELS)
    assert found.items[0].path == str(root.resolve() / "3dmodels" / "original" / "L" / "B01N2PLWIL.glb")
    assert {(item.up, item.yaw, item.license, item.creator) for item in found.items} == {
        ("y", 0.0, "CC-BY-4.0", "Amazon.com")
    }
    text = report(RECIPE, found)
    assert text.startswith("abo: 2 shapes (7953 expected)\n")
    assert f"missing files: 1: {found.items[2].path}\n" in text
    assert "note: no listings, so no classes" in text
    (root / "LICENSE-CC-BY-NC-4.0.txt").touch()
    assert {item.license for item in find(root).items} == {"CC-BY-NC-4.0"}


def test_classes_are_the_product_types_of_the_first_listing(root):
    list_products(
        root,
        {"item_id": "x", "product_type": [{"value": "LAMP"}]},
        {"item_id": "y", "3dmodel_id": "B01N2PLWIL", "product_type": [{"value": "CHAIR"}]},
        {"item_id": "z", "3dmodel_id": "B01N2PLWIL", "product_type": [{"value": "SOFA"}]},
        {"item_id": "z", "3dmodel_id": "B075QFCHM9", "product_type": "RUG"},
    )
    assert [item.class_name for item in find(root).items] == ["chair", "rug", ""]
    found = find(root, ["rug"])
    assert ([item.id for item in found.items], found.expected) == (["B075QFCHM9"], 0)
    with pytest.raises(RecordError, match="no class CHAIR; there are chair, rug"):
        find(root, ["CHAIR"])


def test_damaged_listings_and_a_missing_table_are_named(root, tmp_path):
    list_products(root, {})
    listing = root / "listings" / "metadata" / "listings_0.json.gz"
    for content in (b"plain", gzip.compress(b"not json"), gzip.compress(b"{}" * 99)[:-9]):
        listing.write_bytes(content)
        with pytest.raises(RecordError, match=r"listings_0\.json\.gz: wanted gzip of one JSON object per line"):
            find(root)
    with pytest.raises(RecordError, match=r"3dmodels\.csv\.gz: wanted a table with the columns 3dmodel_id, path"):
        find(tmp_path / "nowhere")
