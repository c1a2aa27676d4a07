"""Datasets of other layouts than BBBC039's."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from unicodedata import normalize

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_nucseg.io.datasets import (
    find_field,
    list_splits,
    open_dataset,
    require_images_and_truth,
)
from napari_nucseg.io.layouts import holds_dataset
from napari_nucseg.io.sources import Source
from napari_nucseg.io.synthetic import SyntheticField
from tests.conftest import write_mask

STEMS = ("a", "b.1", "c")


def write(path: Path, data: np.ndarray) -> None:
    """Write an image or labels of 16 bits as the ending says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".png":
        Image.fromarray(data.astype(np.uint16)).save(path)
    else:
        tifffile.imwrite(path, data.astype(np.uint16), photometric="minisblack")


def lay_out(
    root: Path, fields: Sequence[SyntheticField], image: str = "images/{}.tif", truth: str = ""
) -> Path:
    """Write drawn fields as files of the given names."""
    for stem, field in zip(STEMS, fields, strict=True):
        write(root / image.format(stem), field.image)
        if truth:
            write(root / truth.format(stem), field.labels)
    return root


@pytest.fixture
def dataset(tmp_path: Path, drawn_fields: Sequence[SyntheticField]) -> Path:
    """The drawn fields in the layout of DSB2018."""
    return lay_out(tmp_path / "drawn", drawn_fields, truth="labels/{}.tif")


def message_of_refusal(open_it: Callable[[], object]) -> str:
    with pytest.raises((ValueError, OSError)) as failure:
        open_it()
    return str(failure.value)


def stems(path: Path, split: str | None = None) -> list[str]:
    return [field.stem for field in open_dataset(path, split).fields]


# Where images and ground truth lie


@pytest.mark.parametrize("image", ["images/{}.tif", "images/{}.png", "images/images/{}.TIF"])
@pytest.mark.parametrize(
    "truth",
    ["masks/{}.tif", "masks/{}.png", "labels/{}.tiff", "labels/{}.png", "labels/labels/{}.tif"],
)
def test_truth_in_a_folder_of_its_own_is_paired_by_stem(tmp_path, drawn_fields, image, truth):
    root = lay_out(tmp_path / "drawn", drawn_fields, image, truth)
    dataset = open_dataset(root)
    assert (dataset.name, dataset.absent) == ("drawn", ())
    assert [field.stem for field in dataset.fields] == list(STEMS)
    for field, drawn in zip(dataset.fields, drawn_fields, strict=True):
        np.testing.assert_array_equal(field.read_image().data, drawn.image)
        assert find_field(field.image.path) == field
        assert field.read_truth().dtype == np.int32
        np.testing.assert_array_equal(field.read_truth(), drawn.labels)


@pytest.mark.parametrize("name", ["images/a.tif", "notes.md", "other.zip", "pairs.xlsx"])
def test_a_file_that_is_no_dataset_does_not_open_its_folder(dataset, name):
    (dataset / name).touch()
    with pytest.raises(ValueError, match=f"{Path(name).name}: not a dataset; open its folder"):
        open_dataset(dataset / name)


def test_archives_may_have_capitals(tmp_path, drawn_fields):
    root = lay_out(tmp_path / "drawn", drawn_fields, truth="masks/{}.tif")
    for part in ("images", "masks"):
        shutil.make_archive(str(root / part.capitalize()), "zip", root / part)
        shutil.rmtree(root / part)
    assert [field.stem for field in open_dataset(root).fields] == list(STEMS)
    assert holds_dataset(root)
    assert open_dataset(root / "Masks.zip").without_mask == ()


def test_letters_in_two_parts_as_macos_has_them_are_paired_with_those_in_one(tmp_path):
    for part, form in (("images", "NFD"), ("masks", "NFC")):
        write(tmp_path / part / f"{normalize(form, 'größe')}.tif", np.zeros((4, 5)))
    (tmp_path / "training.txt").write_text(normalize("NFD", "größe.tif"))
    [field] = open_dataset(tmp_path, "training").fields
    assert (field.stem, field.mask.suffix) == (normalize("NFC", "größe"), ".tif")
    assert find_field(field.image.path) == field


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        (["images/a.tif", "masks/b.tif"], "no file of masks/ is named like an image"),
        (["images/a.tif", "masks/a.npy"], "masks/: it holds .npy files, which are not read"),
        (["images/a.tif", "masks/train/a.tif"], "masks/: it holds folders, such as train"),
        (["images/train/a.tif", "masks/a.tif"], "images/: it holds folders, such as train"),
    ],
)
def test_what_is_there_instead_of_a_dataset_is_said(tmp_path, files, reason):
    for name in files:
        write(tmp_path / name, np.zeros((4, 5)))
    assert reason in message_of_refusal(lambda: require_images_and_truth(open_dataset(tmp_path)))


@pytest.mark.parametrize(
    ("part", "name", "reason"),
    [
        ("masks", "b.tif", "no file of masks.zip is named like an image"),
        ("masks", "a.npy", "masks.zip holds no TIFF or PNG files"),
        ("images", "a.zip", "images.zip holds none"),
    ],
)
def test_what_is_in_an_archive_instead_of_its_files_is_said(tmp_path, part, name, reason):
    for folder in ("images", "masks"):
        write(tmp_path / folder / "a.tif", np.zeros((4, 5)))
    (tmp_path / part / "a.tif").rename(tmp_path / part / name)
    shutil.make_archive(str(tmp_path / part), "zip", tmp_path / part)
    shutil.rmtree(tmp_path / part)
    assert reason in message_of_refusal(lambda: require_images_and_truth(open_dataset(tmp_path)))


@pytest.mark.parametrize("inside", ["images", "labels"])
def test_a_part_of_a_dataset_opens_all_of_it(dataset, inside):
    opened = open_dataset(dataset / inside)
    assert opened == open_dataset(dataset)
    assert opened.without_mask == ()


def lay_out_by_folder(root: Path, fields: Sequence[SyntheticField], images="images") -> Path:
    """Write drawn fields as the Data Science Bowl 2018 had them: a folder each, with masks."""
    for stem, field in zip(STEMS, fields, strict=False):
        grey = (field.image >> 4).astype(np.uint8)
        opaque = np.full_like(grey, 255)
        (root / stem / images).mkdir(parents=True)
        Image.fromarray(np.dstack([grey] * 3 + [opaque])).save(root / stem / images / f"{stem}.png")
        masks = root / stem / images.replace("images", "masks").replace("Images", "Masks")
        masks.mkdir()
        for label in range(1, field.labels.max() + 1):
            mask = np.where(field.labels == label, 255, 0).astype(np.uint8)
            Image.fromarray(mask).save(masks / f"{label:03}.png")
    return root


@pytest.mark.parametrize("images", ["images", "Images"])
def test_a_folder_a_field_with_a_mask_a_nucleus_is_a_dataset(tmp_path, drawn_fields, images):
    root = lay_out_by_folder(tmp_path / "bowl", drawn_fields[:2], images)
    assert holds_dataset(root)
    dataset = open_dataset(root)
    assert (dataset.name, [field.stem for field in dataset.fields]) == ("bowl", list(STEMS[:2]))
    for field, drawn in zip(dataset.fields, drawn_fields, strict=False):
        assert np.array_equal(field.read_image().data, drawn.image >> 4)
        found = field.read_truth_image()
        assert np.array_equal(found.data, drawn.labels)
        assert found.notes == ()


def test_a_folder_with_some_images_folder_in_it_is_no_dataset(tmp_path, drawn_fields):
    root = lay_out_by_folder(tmp_path / "bowl", drawn_fields[:2])
    for stem in STEMS[:2]:
        shutil.rmtree(root / stem / "masks")
    assert holds_dataset(root)  # as the Bowl's test images
    (root / "src").mkdir()
    assert not holds_dataset(root)  # as a project with pictures for its pages


def test_masks_that_share_pixels_are_told(tmp_path, drawn_fields):
    root = lay_out_by_folder(tmp_path / "bowl", drawn_fields[:1])
    shutil.copy(root / "a" / "masks" / "001.png", root / "a" / "masks" / "999.png")
    [field] = open_dataset(root).fields
    found = field.read_truth_image()
    pixels = np.count_nonzero(drawn_fields[0].labels == 1)
    assert np.array_equal(found.data, drawn_fields[0].labels)
    [note] = found.notes
    assert note.startswith(f"{root / 'a' / 'masks'}: {pixels} pixels in more than one mask")


def test_masks_of_another_shape_are_refused_by_name(tmp_path, drawn_fields):
    root = lay_out_by_folder(tmp_path / "bowl", drawn_fields[:1])
    write(root / "a" / "masks" / "odd.png", np.zeros((4, 5)))
    [field] = open_dataset(root).fields
    assert "odd.png: a mask of shape (4, 5)" in message_of_refusal(field.read_truth)


@pytest.mark.parametrize("name", ["a.png", "a_masks.tif"])
def test_labels_named_like_the_one_image_of_a_folder_keep_their_numbers(
    tmp_path, drawn_fields, name
):
    drawn = drawn_fields[0]
    write(tmp_path / "train" / "images" / "a.tif", drawn.image)
    write(tmp_path / "train" / "masks" / name, drawn.labels.astype(np.uint16))
    [field] = open_dataset(tmp_path).fields
    assert np.array_equal(field.read_truth(), drawn.labels)


def test_several_nuclei_in_a_mask_of_one_are_refused_by_name(tmp_path, drawn_fields):
    root = lay_out_by_folder(tmp_path / "bowl", drawn_fields[:1])
    write(root / "a" / "masks" / "odd.png", drawn_fields[0].labels.astype(np.uint16))
    [field] = open_dataset(root).fields
    assert "odd.png: it holds several numbers or colours" in message_of_refusal(field.read_truth)


def test_a_folder_a_field_is_segmented_and_scored(run, tmp_path, drawn_fields):
    root = lay_out_by_folder(tmp_path / "bowl", drawn_fields[:2])
    done = run("benchmark", root, "-o", tmp_path / "out", "-m", "otsu")
    assert done.code == 0, done.err
    assert "2 fields" in done.flat
    assert run("benchmark", root, "-o", tmp_path / "out", "-m", "otsu").code == 0
    (root / "a" / "masks" / "001.png").unlink()
    done = run("benchmark", root, "-o", tmp_path / "out", "-m", "otsu")
    assert "the mask is not the one that was scored" in done.said


def test_folders_of_a_dataset_may_have_capitals(tmp_path, drawn_fields):
    root = lay_out(tmp_path / "drawn", drawn_fields, "Images/{}.tif", "MASKS/{}.png")
    fields = open_dataset(root / "Images").fields
    assert [field.stem for field in fields] == list(STEMS)
    for field, drawn in zip(fields, drawn_fields, strict=True):
        assert np.array_equal(field.read_truth(), drawn.labels)


def test_archives_of_labels_open_in_place(dataset, drawn_fields):
    for part in ("images", "labels"):
        shutil.make_archive(str(dataset / part), "zip", dataset, part)
        shutil.rmtree(dataset / part)
    for field, drawn in zip(open_dataset(dataset / "labels.zip").fields, drawn_fields, strict=True):
        np.testing.assert_array_equal(field.read_truth(), drawn.labels)


@pytest.mark.parametrize("image", ["{}.tif", "{}.png"])
@pytest.mark.parametrize("truth", ["{}_masks.tif", "{}_masks.png"])
def test_images_and_truth_lie_in_one_folder_as_cellpose_has_it(
    tmp_path, drawn_fields, image, truth
):
    root = lay_out(tmp_path / "train", drawn_fields, image, truth)
    for made in ("a_flows.tif", "a_cp_masks.png", "a_cp_output.png"):  # by Cellpose, of the image
        write(root / made, drawn_fields[0].labels)
    dataset = open_dataset(root)
    assert [field.stem for field in dataset.fields] == list(STEMS)
    assert dataset.without_mask == dataset.absent == ()
    for field, drawn in zip(dataset.fields, drawn_fields, strict=True):
        np.testing.assert_array_equal(field.read_image().data, drawn.image)
        assert find_field(field.image.path) == field
    np.testing.assert_array_equal(dataset.fields[0].read_truth(), drawn_fields[0].labels)


def test_a_cellpose_image_without_truth_is_told_and_so_is_truth_without_image(
    tmp_path, drawn_fields
):
    root = lay_out(tmp_path / "train", drawn_fields, "{}.tif", "{}_masks.tif")
    (root / "a_masks.tif").unlink()
    (root / "c.tif").unlink()
    dataset = open_dataset(root)
    assert [field.stem for field in dataset.without_mask] == ["a"]
    assert dataset.absent == ("c",)


def test_a_folder_of_images_alone_has_no_truth(tmp_path, drawn_fields):
    root = lay_out(tmp_path / "pictures", drawn_fields, "{}.png")
    assert len(open_dataset(root).without_mask) == 3


def test_the_labels_of_a_run_are_no_ground_truth(tmp_path, drawn_fields):
    root = lay_out(tmp_path / "results", drawn_fields, "labels/{}.tif")
    (root / "run.json").write_text("{}")
    assert len(open_dataset(root / "labels").without_mask) == 3
    assert find_field(root / "labels" / "a.tif").mask is None


# Two files of one field


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("images/a.tif", "images/a.tiff"),
        ("images/a.tif", "images/a.png"),
        ("labels/a.tif", "labels/a.png"),
        ("labels/a.tif", "masks/a.png"),
    ],
)
def test_two_files_of_one_field_are_refused_by_name(dataset, one, other):
    write(dataset / other, np.zeros((160, 200)))
    message = message_of_refusal(lambda: open_dataset(dataset))
    assert str(dataset / one) in message
    assert str(dataset / other) in message
    assert "move one of them away" in message


def test_two_truths_beside_an_image_are_refused_by_name(tmp_path, drawn_fields):
    root = lay_out(tmp_path / "train", drawn_fields, "{}.tif", "{}_masks.tif")
    write(root / "a_masks.png", drawn_fields[0].labels)
    for open_it in (lambda: open_dataset(root), lambda: find_field(root / "a.tif")):
        message = message_of_refusal(open_it)
        assert "a_masks.tif" in message
        assert "a_masks.png" in message


# Truth that is none


def test_truth_of_another_shape_is_refused_with_both_sizes(dataset):
    field = open_dataset(dataset).fields[0]
    write(field.mask.path, np.zeros((160, 100)))
    message = message_of_refusal(field.read_truth)
    for word in (str(field.mask), str(field.image), "160 x 100", "160 x 200"):
        assert word in message


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        (np.full((160, 200), 0.5, np.float32), "not a label image"),
        (np.full((160, 200), -1, np.int32), "not a label image"),
        (np.full((160, 200), 2**31, np.uint32), "does not fit into 32 bits"),
    ],
)
def test_truth_that_is_no_label_image_is_refused_by_name(dataset, labels, reason):
    field = open_dataset(dataset).fields[0]
    tifffile.imwrite(field.mask.path, labels)
    message = message_of_refusal(field.read_truth)
    assert str(field.mask) in message
    assert reason in message


def test_an_image_without_truth_says_where_it_belongs(dataset):
    (dataset / "labels" / "a.tif").unlink()
    message = message_of_refusal(open_dataset(dataset).fields[0].read_truth)
    assert "add it to masks/ or labels/" in message


# Lists


@pytest.mark.parametrize("where", [".", "metadata"])
@pytest.mark.parametrize(
    "names",
    [("c", "a"), ("c.tif", "a.png"), ("labels/c.tif", "images/a.tiff"), ("c_masks.tif", "a")],
)
def test_a_list_lies_beside_the_images_or_in_metadata(dataset, where, names):
    (dataset / where).mkdir(exist_ok=True)
    listing = dataset / where / "validation.txt"
    listing.write_text("\n".join(names))
    assert stems(dataset, "validation") == stems(listing) == ["c", "a"]
    splits = [field.split for field in open_dataset(dataset).fields]
    assert splits == ["validation", None, "validation"]
    assert find_field(dataset / "images" / "a.tif").split == "validation"
    assert list_splits(dataset) == list_splits(dataset / "images") == ("validation",)


def test_a_list_lies_beside_images_of_cellposes_layout(tmp_path, drawn_fields):
    root = lay_out(tmp_path / "train", drawn_fields, "{}.tif", "{}_masks.tif")
    (root / "mine.txt").write_text("b.1_masks.tif\n")
    assert stems(root, "mine") == ["b.1"]


@pytest.mark.parametrize(
    "text",
    [
        b"Nuclei of three fields.\nThe first is\na.tif\nand there is more to say.",
        b"",
        b"\xff\xfe\x00\xd8",
        b"another.tif\nset.tif\n",
    ],
)
@pytest.mark.parametrize("where", [".", "metadata"])
def test_a_text_that_lists_no_fields_is_no_split(dataset, where, text):
    (dataset / where).mkdir(exist_ok=True)
    (dataset / where / "readme.txt").write_bytes(text)
    (dataset / "training.txt").write_text("a.tif\n")
    assert list_splits(dataset) == ("training",)
    assert open_dataset(dataset).absent == ()
    message = message_of_refusal(lambda: open_dataset(dataset, "readme"))
    assert "readme.txt: most of its lines name no field" in message
    assert message.endswith("there are training")


def test_a_note_with_the_name_of_a_split_is_none(dataset):
    (dataset / "test.txt").write_text("To do: draw more nuclei.\nAnd test them.\n")
    assert list_splits(dataset) == ()
    assert open_dataset(dataset).absent == ()


def test_a_split_that_is_here_in_part_is_still_a_split(dataset):
    (dataset / "test.txt").write_text("x.tif\ny.tif\nz.tif\na.tif\n")
    message = message_of_refusal(lambda: open_dataset(dataset, "test"))
    assert "3 of its 4 fields are not in the dataset, the first is x" in message
    assert open_dataset(dataset).absent == ("x", "y", "z")


def test_two_lists_of_one_name_are_refused_only_if_they_differ(dataset):
    (dataset / "metadata").mkdir()
    (dataset / "metadata" / "test.txt").write_text("a.tif\r\nc.tif")
    (dataset / "test.txt").write_text("a\nc\n")
    assert stems(dataset, "test") == ["a", "c"]
    (dataset / "test.txt").write_text("a\n")
    message = message_of_refusal(lambda: open_dataset(dataset, "test"))
    assert str(dataset / "metadata" / "test.txt") in message
    assert str(dataset / "test.txt") in message


def test_a_split_that_is_not_there_says_where_to_put_it(dataset):
    message = message_of_refusal(lambda: open_dataset(dataset, "training"))
    assert message.startswith(f"{dataset / 'training.txt'}: there is no such split; put a list")


# BBBC039's own rules are for its names alone


def test_masks_of_other_datasets_may_be_colourings_too(dataset, drawn_fields):
    (dataset / "labels" / "a.tif").unlink()
    write_mask(dataset / "labels" / "a.png", drawn_fields[0].labels)
    truth = open_dataset(dataset).fields[0].read_truth()
    assert len(np.unique(truth)) == len(np.unique(drawn_fields[0].labels))


def test_fields_of_other_datasets_have_neither_well_nor_site(dataset):
    field = open_dataset(dataset).fields[1]
    assert (field.name, field.well, field.site) == ("b.1", None, None)
    assert field.image == Source(dataset / "images" / "b.1.tif")


# The real DSB2018


@pytest.mark.parametrize(
    ("split", "count", "nuclei"), [("training", 299, 9605), ("validation", 99, 3757)]
)
def test_the_real_splits_of_dsb2018_hold_all_their_nuclei(dsb2018, split, count, nuclei):
    dataset = open_dataset(dsb2018, split)
    assert len(dataset.fields) == count
    assert {field.split for field in dataset.fields} == {split}
    assert dataset.absent == dataset.without_mask == ()
    truths = (field.read_truth() for field in dataset.fields)
    assert sum(len(np.unique(truth[truth > 0])) for truth in truths) == nuclei


def test_the_real_dsb2018_has_its_two_lists_and_no_other(dsb2018):
    assert list_splits(dsb2018) == ("training", "validation")
    assert len(open_dataset(dsb2018).fields) == 398
