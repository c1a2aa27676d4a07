from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from roifile import ROI_TYPE, roiread
from skimage.draw import polygon

from napari_nucseg.io.bbbc039 import write_mask
from napari_nucseg.io.imagej_rois import write_rois
from napari_nucseg.io.images import read_labels
from napari_nucseg.io.labelled import Labelled
from napari_nucseg.io.sources import Source, refuse_truth
from tests.conftest import sampled


def drawn(rois, shape):
    """What ImageJ selects: the pixels whose centre is within an outline, numbered by name."""
    labels = np.zeros(shape, int)
    for roi in rois:
        x, y = (roi.coordinates() - 0.5).T
        labels[polygon(y, x, shape)] = int(roi.name.partition("-")[0])
    return labels


def test_a_mask_is_kept_as_the_published_ones_are(tmp_path, drawn_fields):
    labels = drawn_fields[0].labels
    write_mask(tmp_path / "mask.png", labels)
    with Image.open(tmp_path / "mask.png") as picture:
        assert (picture.format, picture.mode) == ("PNG", "RGBA")
        red, green, blue, alpha = np.moveaxis(np.asarray(picture), -1, 0)
    assert red.max() <= 3
    assert not green.any()
    assert not blue.any()
    assert (alpha == 255).all()
    assert np.array_equal(read_labels(Source(tmp_path / "mask.png")) > 0, labels > 0)


@pytest.mark.slow
def test_real_masks_come_back_as_they_were(bbbc039, tmp_path):
    paths = sorted((bbbc039 / "masks").iterdir())
    assert len(paths) == 150
    for path in sampled(paths):
        labels = read_labels(Source(path))
        write_mask(tmp_path / path.name, labels)
        assert np.array_equal(read_labels(Source(tmp_path / path.name)), labels), path.name


def test_a_mask_that_cannot_be_kept_leaves_the_old_file(tmp_path):
    torn = np.array([[5, 0, 5]])
    (tmp_path / "mask.png").write_bytes(b"of yesterday")
    with pytest.raises(ValueError, match="several pieces"):
        write_mask(tmp_path / "mask.png", torn)
    assert (tmp_path / "mask.png").read_bytes() == b"of yesterday"


def test_outlines_hold_the_pixels_of_their_objects(tmp_path, drawn_fields):
    labels = drawn_fields[0].labels
    write_rois(tmp_path / "a.zip", Labelled(labels))
    rois = roiread(tmp_path / "a.zip")
    assert [roi.name for roi in rois] == [str(i) for i in range(1, labels.max() + 1)]
    assert {roi.roitype for roi in rois} == {ROI_TYPE.FREEHAND}
    assert {roi.position for roi in rois} == {0}
    assert np.array_equal(drawn(rois, labels.shape), labels)


def test_outlines_of_real_nuclei_hold_their_pixels(bbbc039, tmp_path):
    for path in sorted((bbbc039 / "masks").iterdir())[:3]:
        labels = read_labels(Source(path))
        write_rois(tmp_path / "a.zip", Labelled(labels))
        assert np.array_equal(drawn(roiread(tmp_path / "a.zip"), labels.shape), labels)


def test_outlines_at_the_border_and_of_single_pixels_are_whole(tmp_path):
    labels = np.array([[70_000, 0, 3], [0, 0, 3], [2, 2, 0]])
    write_rois(tmp_path / "a.zip", Labelled(labels))
    assert np.array_equal(drawn(roiread(tmp_path / "a.zip"), labels.shape), labels)


def test_a_torn_object_has_an_outline_a_piece(tmp_path):
    write_rois(tmp_path / "a.zip", Labelled(np.array([[5, 0, 5, 0, 6]])))
    assert [roi.name for roi in roiread(tmp_path / "a.zip")] == ["5-1", "5-2", "6"]


def test_neither_background_nor_negative_labels_have_outlines(tmp_path):
    labels = np.array([[-1, -1, 0, 2, 0, 7], [-1, 0, 0, 2, 0, 0]])
    write_rois(tmp_path / "a.zip", Labelled(labels))
    assert [roi.name for roi in roiread(tmp_path / "a.zip")] == ["2", "7"]
    with pytest.raises(ValueError, match="label -1 is negative"):
        write_mask(tmp_path / "a.png", labels)


def test_outlines_in_a_stack_know_their_plane(tmp_path):
    stack = np.zeros((3, 6, 6), int)
    stack[1, 2:4, 2:4] = 9
    stack[2, 1:3, 1:3] = 9
    write_rois(tmp_path / "a.zip", Labelled(stack))
    rois = roiread(tmp_path / "a.zip")
    assert [(roi.name, roi.position) for roi in rois] == [("0002-9", 2), ("0003-9", 3)]


@pytest.mark.parametrize("part", ["masks", "images"])
def test_files_of_a_dataset_are_not_replaced(drawn_dataset, part):
    path = next((drawn_dataset / part).iterdir())
    with pytest.raises(FileExistsError, match="belongs to a dataset"):
        refuse_truth(path)


def test_archives_and_linked_folders_of_a_dataset_are_not_replaced(drawn_dataset, tmp_path):
    (drawn_dataset / "masks.zip").touch()
    (tmp_path / "link").symlink_to(drawn_dataset / "masks")
    for path in (drawn_dataset / "masks.zip", next((tmp_path / "link").iterdir())):
        with pytest.raises(FileExistsError, match="belongs to a dataset"):
            refuse_truth(path)


def test_other_files_may_be_replaced_and_new_ones_may_join_a_dataset(drawn_dataset, tmp_path):
    (tmp_path / "mine.png").touch()
    refuse_truth(tmp_path / "mine.png")
    refuse_truth(drawn_dataset / "masks" / "new.png")


def test_label_images_of_a_dataset_are_not_replaced_and_those_of_a_run_are(drawn_dataset, tmp_path):
    for folder in (drawn_dataset, tmp_path / "results"):
        (folder / "labels").mkdir(parents=True)
        (folder / "labels" / "a.tif").touch()

    with pytest.raises(FileExistsError, match="it belongs to a dataset"):
        refuse_truth(drawn_dataset / "labels" / "a.tif")
    refuse_truth(tmp_path / "results" / "labels" / "a.tif")
