from __future__ import annotations

import numpy as np
import pytest
import tifffile

from napari_nucseg.batch.label_pairs import pair_labels
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
