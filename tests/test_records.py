"""Records: read back whole, refused when anything they stand on changed."""

import json

import pytest

from gmaug import records


@pytest.fixture
def written(tmp_path):
    (tmp_path / "metric").mkdir()
    (tmp_path / "metric" / "w.bin").write_bytes(b"weights")
    return records.write(
        "metric",
        "flowers",
        {"value": 0.5},
        settings={"seed": 0, "size": 224},
        data={"name": "flowers", "images": 3, "hash": "abc"},
        modules=["hierarchy"],
        seconds=1.5,
        device="cpu",
        files=["w.bin"],
        folder=tmp_path,
    )


def test_a_record_reads_back(written):
    record = records.read(written, settings={"size": 224, "seed": 0}, data_hash="abc")
    assert record["content"] == {"value": 0.5}
    assert record["made"]["versions"]["numpy"]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"settings": {"seed": 1, "size": 224}}, "settings changed: seed"),
        ({"data_hash": "other"}, "inputs changed: hash"),
    ],
)
def test_a_record_of_something_else_is_refused(written, options, reason):
    with pytest.raises(records.Refused, match=reason):
        records.read(written, **options)


def test_a_record_of_other_source_is_refused(written):
    record = json.loads(written.read_text())
    record["key"]["source"]["hierarchy"] = "0" * 16
    written.write_text(json.dumps(record))
    with pytest.raises(records.Refused, match="source changed: hierarchy"):
        records.read(written)


def test_a_record_whose_file_changed_is_refused(written):
    (written.parent / "w.bin").write_bytes(b"other")
    with pytest.raises(records.Refused, match=r"w\.bin is missing or changed"):
        records.read(written)


def test_a_missing_record_is_refused(tmp_path):
    with pytest.raises(records.Refused, match="not recorded"):
        records.read(records.path_of("metric", "x", folder=tmp_path))


def committed():
    return [path for path in sorted(records.FOLDER.rglob("*.json")) if "key" in json.loads(path.read_text())]


@pytest.mark.parametrize("path", committed(), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_committed_record_matches_the_source(path):
    records.read(path)
