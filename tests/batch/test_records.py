"""Records, ``run.json`` and provenance that were written elsewhere, or by someone else's hand."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest
import tifffile

from napari_nucseg.batch.records import read_record
from napari_nucseg.batch.results_folder import ResultsFolder
from napari_nucseg.batch.saved_results import open_results
from napari_nucseg.io.large_images import count_corrected
from napari_nucseg.io.writers import read_provenance, write_labels
from tests.batch.test_resuming import tables_of


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def benchmark(run, drawn_dataset, out):
    return partial(run, "benchmark", drawn_dataset, "--model", "otsu", "--out", out)


@pytest.fixture
def finished(benchmark, out, kept):
    """The folder of a run that is done; it is run once, and then copied."""
    if not kept:
        assert benchmark().code == 0
        files = (path for path in out.rglob("*") if path.is_file())
        kept.append({path.relative_to(out): path.read_bytes() for path in files})
    for name, content in kept[0].items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return out


@pytest.fixture(scope="module")
def kept():
    return []


def change(path, *keys, to=None, drop=False):
    """Set a value of a JSON file, by the keys that lead to it, or drop it."""
    values = inner = json.loads(path.read_bytes())
    for key in keys[:-1]:
        inner = inner[key]
    if drop:
        del inner[keys[-1]]
    else:
        inner[keys[-1]] = to
    path.write_text(json.dumps(values))


DEEP = "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize(
    ("keys", "to"),
    [
        (("objects", "iou"), None),
        (("objects", "iou"), [0.5]),
        (("objects", "area_px"), "many"),
        (("objects", "area_px", 0), None),
        (("objects", "area_px", 0), -3),
        (("objects", "verdict", 0), 7),
        (("objects", "partners", 0), None),
        (("objects", "side", 0), "both"),
        (("objects",), None),
        (("objects", "extra"), []),
        (("score", "pixels", "tp"), -1),
        (("score", "pixels", "tp"), 1.5),
        (("score", "objects", "iou_sum"), float("nan")),
        (("score", "by_threshold", 0), {}),
        (("score",), None),
        (("score", "threshold"), 3),
        (("score", "preset"), "unknown"),
        (("made",), None),
        (("made", "seconds"), "long"),
        (("made", "suspect"), [1]),
        (("made", "device"), ["cpu"]),
        (("seconds",), -1),
        (("stem",), "another"),
        (("corrected",), -1),
        (("checksums",), []),
        (("checksums",), {}),
    ],
)
def test_a_record_that_holds_anything_else_counts_for_none(finished, keys, to):
    record = sorted((finished / "records").iterdir())[0]
    stem = json.loads(record.read_bytes())["stem"]
    assert ResultsFolder(finished).read(stem) is not None
    change(record, *keys, to=to)
    assert ResultsFolder(finished).read(stem) is None


def test_a_field_whose_record_counts_for_none_is_done_again(benchmark, finished):
    before = tables_of(finished)
    record = sorted((finished / "records").iterdir())[0]
    change(record, "objects", "area_px", 0, to=None)
    assert benchmark().code == 0
    assert tables_of(finished) == before


def test_columns_in_another_order_make_the_same_tables(benchmark, finished, out):
    before = tables_of(out)
    record = sorted((out / "records").iterdir())[0]
    values = json.loads(record.read_bytes())
    values["objects"] = dict(reversed(values["objects"].items()))
    record.write_text(json.dumps(values))
    assert benchmark().code == 0
    assert tables_of(out) == before


def test_a_record_of_fewer_columns_than_the_others_is_refused_by_name(benchmark, finished, out):
    record = sorted((out / "records").iterdir())[0]
    values = json.loads(record.read_bytes())
    for name in ("area_um2", "centroid_y_um", "centroid_x_um"):
        if name in values["objects"]:
            del values["objects"][name]
        else:
            values["objects"][name] = [1.0] * len(values["objects"]["object"])
    record.write_text(json.dumps(values))
    done = benchmark()
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "records" in done.err
    assert "its columns are not those of the other fields" in done.err


@pytest.mark.parametrize("content", [b"", b"null", b"[]", b"\xff", DEEP.encode(), b"9" * 5000])
def test_a_record_that_is_none_is_none(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    assert read_record(path) is None
    path.unlink()
    path.mkdir()
    assert read_record(path) is None


@pytest.mark.parametrize(
    ("keys", "to"),
    [
        (("format",), 2),
        (("plan",), None),
        (("plan", "model"), 3),
        (("plan", "rule"), {}),
        (("plan", "rule", "preset"), "unknown"),
        (("plan", "rule", "threshold"), "half"),
        (("plan", "parameters"), []),
        (("plan", "absent"), None),
        (("sources",), []),
        (("sources", "x"), {"image": 3, "mask": None, "split": None}),
        (("sessions",), None),
        (("sessions", 0, "machine"), {}),
        (("sessions", 0, "command"), "benchmark"),
    ],
)
def test_a_run_that_holds_anything_else_is_refused_in_a_line(benchmark, finished, out, keys, to):
    change(out / "run.json", *keys, to=to)
    done = benchmark()
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert f"{out / 'run.json'}: not a record of a run" in done.err
    with pytest.raises(ValueError, match=r"run\.json: not a record of a run"):
        open_results(out)


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff\xfe", DEEP.encode()])
def test_what_is_no_json_is_no_run(tmp_path, content):
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"run\.json: not a record of a run") as refused:
        ResultsFolder(tmp_path).read_run()
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "made",
    [
        {"model": ["otsu"]},
        {"model": "otsu", "nuclei": -1},
        {"model": "otsu", "depth": "deep"},
        {"model": "otsu", "parameters": [1]},
        {"model": "otsu", "parameters": {"diameter": {"a": 1}}},
        {"model": "otsu", "suspect": "very"},
        {"model": "otsu", "versions": {"napari-nucseg": 1}},
        {"model": "otsu", "corrected_by_hand": -2},
        {"model": "otsu", "corrections": {"pixels": 1}},
        {"model": "otsu", "seconds": float("inf")},
    ],
)
def test_a_provenance_of_other_kinds_counts_for_none(tmp_path, run, drawn_dataset, made):
    image = sorted((drawn_dataset / "images").iterdir())[0]
    path = tmp_path / "labels" / f"{image.stem}.tif"
    write_labels(path, np.eye(8, dtype=np.int32), made)
    with pytest.raises(ValueError, match="does not say how it was made"):
        read_provenance(path)
    assert count_corrected(path) == 0
    segment = partial(run, "segment", image, "--model", "otsu", "--out", path.parent)
    refused = segment()
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert f"{path} already exists" in refused.err
    assert segment("--overwrite").code == 0
    assert read_provenance(path)["model"] == "otsu"


def test_a_description_that_is_nested_deeply_is_no_provenance(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.eye(8, dtype=np.uint16), description=f'{{"nucseg": {DEEP}}}')
    with pytest.raises(ValueError, match="does not say how it was made"):
        read_provenance(path)
