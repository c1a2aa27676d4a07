"""Corrected labels on disk: under the name of their own image, and within the chosen folder."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_nucseg.batch.label_pairs import pair_labels
from napari_nucseg.io.images import read_labels
from napari_nucseg.io.sources import Source
from napari_nucseg.progress import ignore
from napari_nucseg.ui.edits import remember
from napari_nucseg.ui.layers import GROUND_TRUTH, PREDICTION, LayerRecord, find_image, tag
from napari_nucseg.ui.score.export import collect_corrected
from napari_nucseg.ui.score.export_kinds import write_corrected
from napari_nucseg.ui.score.model import Comparison

LABELS = np.kron(np.arange(1, 5).reshape(2, 2), np.ones((8, 8), int))
SHAPE = LABELS.shape


@pytest.fixture
def viewer():
    return ViewerModel()


def add_edited(viewer, name: str, record: LayerRecord | None = None, shape=SHAPE):
    """Add labels of which a hand has erased a nucleus."""
    metadata = {} if record is None else tag(record)
    labels = np.broadcast_to(LABELS, shape).copy()
    layer = viewer.add_labels(labels, name=name, metadata=metadata)
    for plane, field in enumerate(labels.reshape(-1, *SHAPE)):
        remember(layer, plane, field.copy())
        field[field == 1 + plane % 4] = 0
    return layer


def prediction_of(image) -> LayerRecord:
    return LayerRecord(PREDICTION, source=str(image.unique_id), provenance={"model": "otsu"})


def names(comparison, viewer, folder) -> list[str]:
    fields = collect_corrected(comparison, viewer.layers, folder)
    return [path.relative_to(folder).as_posix() for path in write_corrected(fields, ignore)]


def test_labels_are_not_saved_under_the_name_of_another_image_of_their_size(viewer, tmp_path):
    viewer.add_image(np.ones(SHAPE), name="imageA")
    image = viewer.add_image(np.ones(SHAPE), name="imageB")
    found = add_edited(viewer, "labels", prediction_of(image))
    named = add_edited(viewer, "imageB truth", LayerRecord(GROUND_TRUTH))
    unnamed = add_edited(viewer, "truthB", LayerRecord(GROUND_TRUTH))

    assert names(Comparison(found, named), viewer, tmp_path / "1") == [
        "prediction/imageB.tif",
        "ground truth/imageB.tif",
    ]
    assert names(Comparison(None, unnamed), viewer, tmp_path / "2") == ["ground truth/truthB.tif"]


def test_the_longest_name_of_an_image_counts(viewer, tmp_path):
    for name in ("A1", "A10", "A10 w2"):
        viewer.add_image(np.ones(SHAPE), name=name)
    truth = add_edited(viewer, "A10_truth")

    assert names(Comparison(None, truth), viewer, tmp_path) == ["ground truth/A10.tif"]


def test_a_colour_image_is_found_by_the_labels_made_from_it(viewer):
    viewer.add_image(np.ones(SHAPE), name="grey")
    image = viewer.add_image(np.ones((*SHAPE, 3), np.uint8), rgb=True, name="colour")

    assert find_image(viewer.layers, add_edited(viewer, "1", prediction_of(image))) is image
    assert find_image(viewer.layers, add_edited(viewer, "2")).name == "grey"


@pytest.mark.parametrize(
    ("name", "file"),
    [("plate1/A01", "plate1_A01"), ("../x", "_x"), ("a:b?", "a_b_"), ("..", "labels")],
)
def test_a_layers_name_leads_into_no_other_folder(viewer, tmp_path, name, file):
    image = viewer.add_image(np.ones(SHAPE), name=name)
    found = add_edited(viewer, "found", prediction_of(image))

    assert names(Comparison(found, None), viewer, tmp_path) == [f"prediction/{file}.tif"]
    (pair,) = pair_labels(tmp_path / "prediction", tmp_path / "prediction")
    assert pair.stem == file


@pytest.mark.parametrize(
    ("stems", "named"),
    [
        (("a", "b", "c", "d"), ["a", "b", "c", "d"]),
        (("a", "b"), ["a plane 1", "a plane 2", "b plane 1", "b plane 2"]),
        (("a", "b", "c"), ["1", "2", "3", "4"]),
    ],
    ids=["fields", "volumes", "nobody knows"],
)
def test_planes_have_the_names_of_the_files_that_they_are_of(viewer, tmp_path, stems, named):
    found = add_edited(viewer, "found", LayerRecord(PREDICTION, stems=stems), (2, 2, *SHAPE))
    truth = add_edited(viewer, "truth", LayerRecord(GROUND_TRUTH, stems=stems), (2, 2, *SHAPE))
    comparison = Comparison(found, truth)

    assert [comparison.field_of(plane).stem for plane in range(4)] == named
    assert names(comparison, viewer, tmp_path) == [
        f"{kind}/{name}.tif" for kind in ("prediction", "ground truth") for name in named
    ]


def test_fields_that_would_have_one_file_are_refused(viewer, tmp_path):
    record = LayerRecord(PREDICTION, stems=("a/b", "a_b"))
    found = add_edited(viewer, "found", record, (2, *SHAPE))

    with pytest.raises(ValueError, match="two of its fields are called a_b"):
        collect_corrected(Comparison(found, None), viewer.layers, tmp_path)


def test_a_save_that_was_broken_off_goes_on_in_the_same_folder(viewer, tmp_path):
    found = add_edited(viewer, "found", LayerRecord(PREDICTION), (3, *SHAPE))
    fields = collect_corrected(Comparison(found, None), viewer.layers, tmp_path)
    write_corrected(fields[:2], ignore)
    first = fields[0].path.stat().st_mtime_ns

    write_corrected(fields, ignore)

    assert fields[0].path.stat().st_mtime_ns == first
    for field, plane in zip(fields, found.data, strict=True):
        np.testing.assert_array_equal(read_labels(Source(field.path)), plane)


def test_a_file_with_other_labels_is_not_replaced(viewer, tmp_path):
    found = add_edited(viewer, "found", LayerRecord(PREDICTION), (2, *SHAPE))
    write_corrected(collect_corrected(Comparison(found, None), viewer.layers, tmp_path), ignore)
    found.data[1, 3, 3] = 9
    again = collect_corrected(Comparison(found, None), viewer.layers, tmp_path)

    with pytest.raises(FileExistsError, match=r"2\.tif already exists; choose another folder"):
        write_corrected(again, ignore)


def test_what_is_saved_is_what_was_there_when_it_was_asked_for(viewer, tmp_path):
    found = add_edited(viewer, "found", LayerRecord(PREDICTION))
    (field,) = collect_corrected(Comparison(found, None), viewer.layers, tmp_path)
    found.data[:] = 7

    write_corrected([field], ignore)

    assert read_labels(Source(field.path)).max() == 4
