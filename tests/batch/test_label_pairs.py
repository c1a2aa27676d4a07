from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tifffile

from napari_nucseg.batch.label_pairs import pair_labels
from napari_nucseg.io.labelled import Labelled
from napari_nucseg.io.large_images import open_large
from napari_nucseg.io.ome_zarr import write_zarr_labels
from napari_nucseg.io.sources import Source
from napari_nucseg.io.zarr_labels import write_zarr
from napari_nucseg.metrics.score import DEFAULT_RULE
from tests.conftest import write_mask


def labels_with(count):
    """Labels of some squares."""
    labels = np.zeros((30, 60), np.uint16)
    for number in range(1, count + 1):
        labels[5:15, 12 * number - 10 : 12 * number] = number
    return labels


@pytest.fixture
def folders(tmp_path):
    """A folder of predictions and one of the truth, as another program might name them."""
    predicted, truth = tmp_path / "predicted", tmp_path / "truth"
    predicted.mkdir()
    truth.mkdir()
    for stem, count in (("b", 2), ("a", 1), ("c", 3)):
        tifffile.imwrite(predicted / f"{stem}.tif", labels_with(count))
        write_mask(truth / f"{stem}.png", labels_with(3))
    return predicted, truth


def test_two_files_are_a_pair_whatever_their_names(folders):
    (pair,) = pair_labels(folders[0] / "a.tif", folders[1] / "c.png")
    assert pair.score().objects.tp == 1
    assert pair.score().objects.fn == 2


def test_folders_are_paired_by_the_names_of_their_files(folders):
    pairs = pair_labels(*folders)
    assert [pair.stem for pair in pairs] == ["a", "b", "c"]
    assert [pair.score().objects.tp for pair in pairs] == [1, 2, 3]


@pytest.mark.parametrize("ending", ["_masks.tif", "_cp_masks.tif", "_label.tif", "_seg.npy"])
@pytest.mark.parametrize("with_images", [True, False])
def test_labels_called_after_their_images_are_paired(folders, tmp_path, ending, with_images):
    other = tmp_path / "other"
    other.mkdir()
    for path in folders[0].iterdir():
        target = other / f"{path.stem}{ending}"
        if ending == "_seg.npy":
            np.save(target, {"masks": tifffile.imread(path)})
        else:
            path.rename(target)
        if with_images:
            tifffile.imwrite(other / path.name, np.full((30, 60), 7, np.uint16))
    for pairs in (pair_labels(other, folders[1]), pair_labels(folders[1], other)):
        assert [pair.stem for pair in pairs] == ["a", "b", "c"]
        assert [pair.score().objects.tp for pair in pairs] == [1, 2, 3]


def test_files_of_other_kinds_and_hidden_ones_are_left_alone(folders):
    (folders[0] / "notes.txt").write_text("x")
    (folders[0] / ".a.tif").write_text("x")
    assert len(pair_labels(*folders)) == 3


@pytest.mark.parametrize(("side", "number"), [(0, 2), (1, 2)], ids=["predicted", "truth"])
def test_fields_that_stand_on_one_side_only_are_counted_and_the_first_is_named(
    folders, side, number
):
    for stem in ("b", "c"):
        next(folders[side].glob(f"{stem}.*")).unlink()
    with pytest.raises(ValueError, match=f"{number} of the other folder's 3 fields") as failure:
        pair_labels(*folders)
    assert str(folders[side]) in str(failure.value)
    assert "the first is b" in str(failure.value)


def test_a_file_and_a_folder_are_no_pair(folders):
    with pytest.raises(ValueError, match="give two files or two folders"):
        pair_labels(folders[0] / "a.tif", folders[1])
    with pytest.raises(ValueError, match="give two files or two folders"):
        pair_labels(folders[0], folders[1] / "a.png")


@pytest.mark.parametrize("side", [0, 1])
def test_what_is_not_there_is_named(folders, side):
    paths = list(folders)
    paths[side] = folders[side] / "nowhere"
    with pytest.raises(FileNotFoundError, match="nowhere: there is no such file or folder"):
        pair_labels(*paths)


@pytest.mark.parametrize("side", [0, 1])
def test_a_folder_without_labels_is_named(folders, tmp_path, side):
    (tmp_path / "bare").mkdir()
    paths = list(folders)
    paths[side] = tmp_path / "bare"
    with pytest.raises(ValueError, match="bare: no label TIFF or mask PNG here"):
        pair_labels(*paths)


def test_labels_of_other_shapes_are_refused_with_both_names(folders):
    tifffile.imwrite(folders[0] / "a.tif", np.zeros((10, 10), np.uint16))
    pair = pair_labels(*folders)[0]
    with pytest.raises(ValueError, match=r"a\.tif against .*a\.png") as failure:
        pair.score()
    assert "(30, 60)" in str(failure.value)
    assert "(10, 10)" in str(failure.value)


@pytest.mark.parametrize(
    "content",
    [np.full((30, 60), 0.5, np.float32), np.full((30, 60), -1, np.int16)],
    ids=["fractions", "negative"],
)
def test_what_is_no_label_image_is_refused_with_its_name(folders, content):
    tifffile.imwrite(folders[0] / "a.tif", content)
    with pytest.raises(ValueError, match=r"a\.tif"):
        pair_labels(*folders)[0].score()


def large_pair(folder, shape=(2100, 4200)):
    """Write labels of random squares, and the same moved a little, as files."""
    rng = np.random.default_rng(0)
    truth, predicted = np.zeros(shape, np.uint32), np.zeros(shape, np.uint32)
    for number, (y, x) in enumerate(rng.integers(0, (shape[0] - 20, shape[1] - 20), (900, 2)), 1):
        truth[y : y + 15, x : x + 18] = number
        predicted[y + 2 : y + 17, x : x + 17] = 2000 - number
    for name, labels in (("truth", truth), ("predicted", predicted)):
        tifffile.imwrite(folder / f"{name}.tif", labels, tile=(256, 256), compression="zlib")
    return folder / "predicted.tif", folder / "truth.tif"


def test_labels_larger_than_memory_are_scored_in_parts_exactly(tmp_path, monkeypatch):
    [pair] = pair_labels(*large_pair(tmp_path))
    whole = replace(pair.score(), boundaries=None)
    monkeypatch.setenv("NUCSEG_MAX_PIXELS", "1000000")
    found, notes = pair.score_and_note()
    assert found == whole
    assert "scored in parts, without the distances of outlines" in notes[0]


def test_what_cannot_be_scored_in_parts_is_refused(tmp_path, monkeypatch):
    [pair] = pair_labels(*large_pair(tmp_path))
    monkeypatch.setenv("NUCSEG_MAX_PIXELS", "1000000")
    with pytest.raises(ValueError, match="--ignore-border leaves nothing out"):
        pair.score(replace(DEFAULT_RULE, ignore_border=True))
    tifffile.imwrite(tmp_path / "truth.tif", np.zeros((2000, 2000), np.uint16))
    with pytest.raises(ValueError, match="choose labels of the same field"):
        pair.score()


def test_labels_of_ome_zarr_are_scored(tmp_path, run, monkeypatch):
    pytest.importorskip("zarr")
    for path in large_pair(tmp_path):
        with open_large(Source(path), as_numbers=True) as labels:
            write_zarr_labels(path.with_suffix(".ome.zarr"), labels, {"nuclei": 900})
    paths = tmp_path / "predicted.ome.zarr", tmp_path / "truth.ome.zarr"
    [pair] = pair_labels(*paths)
    tiffs = pair_labels(tmp_path / "predicted.tif", tmp_path / "truth.tif")[0]
    assert pair.score() == tiffs.score()
    assert "nuclei matched at IoU 0.5" in run("score", *paths).flat
    monkeypatch.setenv("NUCSEG_MAX_PIXELS", "1000000")
    assert pair.score() == replace(tiffs.score(), boundaries=None)
    told = run("score", *paths)
    assert told.code == 0, told.said
    assert "scored in parts" in told.said
    told = run("score", *paths, "--components")
    assert told.code == 2
    assert "where --components finds no pieces" in told.said


def as_zarr(path, labels, **made):
    """Write labels as OME-Zarr."""
    pytest.importorskip("zarr")
    write_zarr(path, Labelled(labels, made=made))
    return path


def test_folders_of_ome_zarr_are_paired_also_with_tiffs(folders, tmp_path):
    zarrs = tmp_path / "zarrs"
    for stem, count in (("a", 1), ("b", 2), ("c", 3)):
        as_zarr(zarrs / f"{stem}.ome.zarr", labels_with(count))
    for truth in (folders[1], zarrs):
        assert [pair.stem for pair in pair_labels(zarrs, truth)] == ["a", "b", "c"]
    as_zarr(zarrs / "d.zarr", labels_with(1))
    with pytest.raises(ValueError, match="the first is d"):
        pair_labels(zarrs, folders[1])


def test_labels_within_an_image_of_ome_zarr_are_scored_and_not_the_image(folders, tmp_path):
    zarr = pytest.importorskip("zarr")
    image = as_zarr(tmp_path / "a.ome.zarr", labels_with(3) * 100 + 7)
    zarr.create_group(str(image / "labels"), attributes={"ome": {"labels": ["nuclei"]}})
    as_zarr(image / "labels" / "nuclei", labels_with(2), corrected_by_hand=2)
    for path in (image, image / "labels" / "nuclei"):
        (pair,) = pair_labels(path, folders[1] / "c.png")
        assert (pair.score().objects.tp, pair.score().objects.fn) == (2, 1)
        assert list(pair.corrected.values()) == [2]


def test_a_binary_mask_of_ome_zarr_is_told_and_taken_apart(folders, tmp_path):
    mask = as_zarr(tmp_path / "a.zarr", (labels_with(3) > 0).astype(np.uint8))
    (pair,) = pair_labels(mask, folders[1] / "c.png")
    assert any("it looks like a binary mask" in note for note in pair.score_and_note()[1])
    assert pair.score_and_note(components=True)[0].objects.tp == 3
