from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from shutil import copytree, move
from zipfile import ZipFile

import numpy as np
import pytest
import tifffile

from napari_nucseg.io.datasets import find_field, open_dataset
from napari_nucseg.io.fields import Field
from napari_nucseg.io.images import read_image_header
from napari_nucseg.io.sources import Source
from tests.conftest import write_mask

PARTS = ("images", "masks", "metadata")
"""The folders of BBBC039."""
KEPT_BACK = "test"
"""The split that may be absent from the folder of real fields."""


def message_of_refusal(open_it: Callable[[], object]) -> str:
    with pytest.raises((ValueError, OSError)) as failure:
        open_it()
    return str(failure.value)


def stems(path: Path, split: str | None = None) -> list[str]:
    return [field.stem for field in open_dataset(path, split).fields]


def nest(root: Path, into: Path) -> Path:
    """Lay a dataset out as its archives unpack, each into a folder of its own name."""
    for part in PARTS:
        (into / part).mkdir(parents=True)
        (into / part / part).symlink_to(root / part, target_is_directory=True)
    return into


def zip_parts(root: Path, into: Path) -> Path:
    """Pack images and masks as published; the lists of the splits stay a folder."""
    into.mkdir()
    copytree(root / "metadata", into / "metadata")
    for part in ("images", "masks"):
        with ZipFile(into / f"{part}.zip", "w") as archive:
            for path in (root / part).iterdir():
                archive.write(path, f"{part}/{path.name}")
    return into


# The real dataset


@pytest.fixture(scope="module")
def real_fields(bbbc039: Path) -> list[Field]:
    return [field for field in open_dataset(bbbc039).fields if field.split != KEPT_BACK]


@pytest.fixture(scope="module")
def nuclei(real_fields: list[Field]) -> dict[str, int]:
    """How many nuclei each real field has."""
    return {field.stem: len(np.unique(field.read_truth())) - 1 for field in real_fields}


def test_the_real_dataset_has_a_hundred_training_and_fifty_validation_fields(real_fields):
    splits = [field.split for field in real_fields]
    assert len(real_fields) == 150
    assert (splits.count("training"), splits.count("validation")) == (100, 50)


@pytest.mark.parametrize(("split", "count"), [("training", 11_999), ("validation", 5_896)])
def test_the_real_masks_hold_the_published_number_of_nuclei(real_fields, nuclei, split, count):
    assert sum(nuclei[field.stem] for field in real_fields if field.split == split) == count


def test_three_real_fields_have_no_nucleus(real_fields, nuclei):
    empty = {(field.name, field.split) for field in real_fields if not nuclei[field.stem]}
    assert empty == {("F13_s7", "training"), ("L01_s2", "training"), ("L10_s6", "validation")}


def test_every_real_field_has_its_image_and_its_mask(real_fields):
    for field in real_fields:
        assert field.image.stem == field.mask.stem == field.stem


def test_wells_and_sites_of_real_fields_are_read_from_their_names(real_fields):
    assert all(re.fullmatch(r"[A-P]\d\d_s[1-9]", field.name) for field in real_fields)
    assert len({field.stem for field in real_fields}) == 150


def test_every_real_image_is_calibrated(real_fields):
    for field in real_fields:
        header = read_image_header(field.image)
        assert (header.shape, header.dtype) == ((520, 696), np.uint16)
        assert header.pixel_size == pytest.approx(0.645)


def test_real_images_are_read_as_they_are_stored(real_fields):
    for field in real_fields[::30]:
        image = field.read_image()
        np.testing.assert_array_equal(image.data, tifffile.imread(field.image.path))
        assert image.pixel_size == pytest.approx(0.645)


@pytest.mark.parametrize("part", [".", *PARTS])
@pytest.mark.parametrize("nested", [False, True], ids=["side by side", "nested"])
def test_the_real_dataset_is_the_same_by_whichever_folder_it_is_opened(
    bbbc039, real_fields, tmp_path, nested, part
):
    root = nest(bbbc039, tmp_path / "nested") if nested else bbbc039
    opened = [field for field in open_dataset(root / part).fields if field.split != KEPT_BACK]
    assert [(f.stem, f.split) for f in opened] == [(f.stem, f.split) for f in real_fields]
    assert all(field.image is not None and field.mask is not None for field in opened)


@pytest.mark.parametrize(("split", "count"), [("training", 100), ("validation", 50)])
def test_a_real_split_is_opened_by_its_file_or_by_its_name(bbbc039, split, count):
    listing = bbbc039 / "metadata" / f"{split}.txt"
    named = [Path(line).stem for line in listing.read_text().split()]
    assert stems(listing) == stems(bbbc039, split) == named
    assert len(named) == count


# Names


def test_a_dataset_is_opened_by_a_path_or_by_its_text(drawn_dataset):
    images, truths = drawn_dataset / "images", drawn_dataset / "masks"
    assert open_dataset(str(drawn_dataset)) == open_dataset(drawn_dataset)
    by_text = open_dataset(str(images), truths=str(truths))
    assert by_text == open_dataset(images, truths=truths)
    with pytest.raises(FileNotFoundError, match="nowhere: there is no such file or folder"):
        open_dataset("nowhere")


def test_a_field_is_called_by_its_well_and_site():
    field = Field("IXMtest_P24_s9_w1051DAA7C-7042-435F-99F0-1E847D9B42CB")
    assert (field.well, field.site, field.name) == ("P24", 9, "P24_s9")


@pytest.mark.parametrize(
    "stem",
    ["nuclei", "IXMtest_A02_s1", "IXMtest_Q02_s1_w1051DAA7C-7042-435F-99F0-1E847D9B42CB", ""],
)
def test_a_field_of_another_name_is_called_by_its_stem(stem):
    field = Field(stem)
    assert (field.well, field.site, field.name) == (None, None, stem)


# Ways to open a drawn dataset


def test_drawn_fields_are_read_as_drawn(drawn_dataset, drawn_fields):
    for field, drawn in zip(open_dataset(drawn_dataset).fields, drawn_fields, strict=True):
        np.testing.assert_array_equal(field.read_image().data, drawn.image)
        truth = field.read_truth()
        pairs = set(zip(truth.ravel().tolist(), drawn.labels.ravel().tolist(), strict=True))
        assert (0, 0) in pairs
        assert len(pairs) == len(np.unique(truth)) == len(np.unique(drawn.labels))


def side_by_side(root: Path, into: Path) -> Path:
    return copytree(root, into)


@pytest.mark.parametrize("lay_out", [side_by_side, nest, zip_parts])
def test_the_layout_makes_no_difference(drawn_dataset, tmp_path, lay_out):
    original = open_dataset(drawn_dataset)
    opened = open_dataset(lay_out(drawn_dataset, tmp_path / "other"))
    assert opened.name == "other"
    for field, other in zip(original.fields, opened.fields, strict=True):
        assert (field.stem, field.split) == (other.stem, other.split)
        np.testing.assert_array_equal(field.read_image().data, other.read_image().data)
        np.testing.assert_array_equal(field.read_truth(), other.read_truth())


@pytest.mark.parametrize("way", [".", "images", "masks", "metadata"])
@pytest.mark.parametrize("nested", [False, True])
def test_every_folder_of_a_dataset_opens_all_of_it(drawn_dataset, tmp_path, nested, way):
    root = nest(drawn_dataset, tmp_path / "nested") if nested else drawn_dataset
    dataset = open_dataset(root / way)
    assert [field.split for field in dataset.fields] == ["training", "training", "test"]
    assert dataset.has_images
    assert dataset.without_mask == ()


def test_the_inner_folder_of_a_nested_dataset_opens_all_of_it(drawn_dataset):
    for part in PARTS:
        (drawn_dataset / "outer" / part).mkdir(parents=True)
        move(drawn_dataset / part, drawn_dataset / "outer" / part / part)
    for part in PARTS:
        dataset = open_dataset(drawn_dataset / "outer" / part / part)
        assert dataset.name == "outer"
        assert [field.split for field in dataset.fields] == ["training", "training", "test"]
        assert dataset.without_mask == ()


@pytest.mark.parametrize("part", ["images", "masks"])
def test_an_archive_opens_the_dataset_around_it_and_unpacks_nothing(drawn_dataset, tmp_path, part):
    root = zip_parts(drawn_dataset, tmp_path / "zipped")
    before = sorted(root.rglob("*"))
    dataset = open_dataset(root / f"{part}.zip")
    assert [field.split for field in dataset.fields] == ["training", "training", "test"]
    assert [field.read_truth().shape for field in dataset.fields] == [(160, 200)] * 3
    assert sorted(root.rglob("*")) == before


def test_a_split_is_opened_from_archives(drawn_dataset, tmp_path):
    root = zip_parts(drawn_dataset, tmp_path / "zipped")
    assert stems(root, "training") == stems(root / "metadata" / "training.txt")
    assert len(stems(root, "training")) == 2


@pytest.mark.parametrize("part", ["images", "masks"])
def test_a_linked_folder_is_opened_where_the_link_is(drawn_dataset, tmp_path, part):
    move(drawn_dataset / part, tmp_path / "storage")
    (drawn_dataset / part).symlink_to(tmp_path / "storage", target_is_directory=True)
    dataset = open_dataset(drawn_dataset / part)
    assert dataset.name == drawn_dataset.name
    assert len(dataset.fields) == 3
    assert dataset.has_images
    assert dataset.without_mask == ()


def test_images_are_paired_with_masks_by_stem(drawn_dataset):
    extra = drawn_dataset / "images" / "A00.tif"
    tifffile.imwrite(extra, np.zeros((8, 8), dtype=np.uint16))
    dataset = open_dataset(drawn_dataset)
    assert [field.stem for field in dataset.without_mask] == ["A00"]
    assert all(f.image.stem == f.mask.stem for f in dataset.fields if f.mask is not None)


def test_masks_alone_are_a_dataset_without_images(drawn_dataset):
    move(drawn_dataset / "images", drawn_dataset / "elsewhere")
    dataset = open_dataset(drawn_dataset)
    assert not dataset.has_images
    assert [field.read_truth().shape for field in dataset.fields] == [(160, 200)] * 3
    assert "no image" in message_of_refusal(dataset.fields[0].read_image)


def test_a_folder_of_images_alone_is_a_dataset_without_truth(drawn_dataset, tmp_path):
    move(drawn_dataset / "images", tmp_path / "pictures")
    dataset = open_dataset(tmp_path / "pictures")
    assert len(dataset.without_mask) == 3
    message = message_of_refusal(dataset.fields[0].read_truth)
    assert dataset.fields[0].stem in message
    assert "no mask" in message


def test_images_and_masks_in_one_folder_are_paired(drawn_dataset, tmp_path):
    mixed = tmp_path / "mixed"
    copytree(drawn_dataset / "images", mixed)
    copytree(drawn_dataset / "masks", mixed, dirs_exist_ok=True)
    assert open_dataset(mixed).without_mask == ()


# Splits


def test_a_split_keeps_the_order_of_its_file(drawn_dataset):
    listing = drawn_dataset / "metadata" / "training.txt"
    names = listing.read_text().split()
    listing.write_text("\n".join(reversed(names)))
    assert stems(drawn_dataset, "training") == [Path(name).stem for name in reversed(names)]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\n\n  "], ids=repr)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_split_may_be_written_by_any_editor(drawn_dataset, end, encoding):
    names = [f"{stem}.tif" for stem in stems(drawn_dataset, "training")]
    mine = drawn_dataset / "metadata" / "mine.txt"
    mine.write_bytes((end.join(names) + end).encode(encoding))
    assert stems(drawn_dataset, "mine") == stems(drawn_dataset, "training")


def test_a_split_that_names_absent_fields_tells_how_many_and_the_first(drawn_dataset):
    absent = stems(drawn_dataset)[1]
    listing = drawn_dataset / "metadata" / "training.txt"
    listing.write_text(listing.read_text() + "never_was.png\n")
    (drawn_dataset / "images" / f"{absent}.tif").unlink()
    message = message_of_refusal(lambda: open_dataset(drawn_dataset, "training"))
    assert str(listing) in message
    assert f"2 of its 3 fields are not in the dataset, the first is {absent}" in message


def test_absent_fields_may_be_left_out(drawn_dataset):
    first, second = stems(drawn_dataset, "training")
    (drawn_dataset / "images" / f"{second}.tif").unlink()
    dataset = open_dataset(drawn_dataset, "training", allow_missing=True)
    assert [field.stem for field in dataset.fields] == [first]
    assert dataset.absent == (second,)


def test_a_split_of_which_nothing_is_there_is_refused_even_so(drawn_dataset):
    for stem in stems(drawn_dataset, "training"):
        (drawn_dataset / "images" / f"{stem}.tif").unlink()
    message = message_of_refusal(
        lambda: open_dataset(drawn_dataset, "training", allow_missing=True)
    )
    assert "2 of its 2 fields" in message


def test_a_split_that_does_not_exist_is_refused_with_those_that_do(drawn_dataset):
    message = message_of_refusal(lambda: open_dataset(drawn_dataset, "validation"))
    assert str(drawn_dataset / "metadata" / "validation.txt") in message
    assert "training, test" in message


def test_a_readme_that_names_fields_is_offered_as_no_split(drawn_dataset):
    (drawn_dataset / "README.txt").write_text("\n".join(stems(drawn_dataset)))

    message = message_of_refusal(lambda: open_dataset(drawn_dataset, "nope"))

    assert message.endswith("there are training, test")


def test_all_lists_are_named_where_one_is_not_there(drawn_dataset):
    (drawn_dataset / "metadata" / "mine.txt").write_text(stems(drawn_dataset)[0])
    message = message_of_refusal(lambda: open_dataset(drawn_dataset, "yours"))
    assert message.endswith("there are training, test, mine")
    message = message_of_refusal(lambda: open_dataset(drawn_dataset, "yours.txt"))
    assert message == "yours.txt: there is no such split; there are training, test, mine"


def test_a_list_is_found_by_its_path_and_by_its_file_name(drawn_dataset, tmp_path):
    wanted = stems(drawn_dataset, "test")
    anywhere = tmp_path / "anywhere.txt"
    anywhere.write_text(wanted[0])
    assert stems(drawn_dataset, str(anywhere)) == wanted
    assert open_dataset(drawn_dataset, str(anywhere)).name == "drawn anywhere"
    assert stems(drawn_dataset, "test.txt") == wanted


def test_a_list_that_is_not_in_a_dataset_is_refused_with_where_it_belongs(tmp_path):
    (tmp_path / "mine.txt").write_text("x")
    message = message_of_refusal(lambda: open_dataset(tmp_path / "mine.txt"))
    assert message.startswith(f"{tmp_path / 'mine.txt'}: no images beside this list; open the data")


def test_a_list_and_a_split_at_once_are_refused(drawn_dataset):
    listing = drawn_dataset / "metadata" / "test.txt"
    message = message_of_refusal(lambda: open_dataset(listing, "training"))
    assert message == f"{listing}: this is a list of fields already; leave out the split training"


@pytest.mark.parametrize("ending", ["", ".tif", ".TIFF", ".png"])
def test_names_in_a_list_may_hold_dots(drawn_dataset, ending):
    for part, suffix in (("images", ".tif"), ("masks", ".png")):
        move(next((drawn_dataset / part).iterdir()), drawn_dataset / part / f"f.1{suffix}")
    (drawn_dataset / "metadata" / "mine.txt").write_text(f"f.1{ending}\n")
    assert stems(drawn_dataset, "mine") == ["f.1"]


def test_fields_whose_image_is_missing_are_absent(drawn_dataset):
    masked, listed, left = stems(drawn_dataset)
    for stem in (masked, listed):
        (drawn_dataset / "images" / f"{stem}.tif").unlink()
    (drawn_dataset / "masks" / f"{listed}.png").unlink()
    dataset = open_dataset(drawn_dataset)
    assert [field.stem for field in dataset.fields] == [left]
    assert dataset.absent == (masked, listed)


def test_a_dataset_without_metadata_has_no_splits(drawn_dataset):
    move(drawn_dataset / "metadata", drawn_dataset / "elsewhere")
    assert {field.split for field in open_dataset(drawn_dataset).fields} == {None}
    assert "metadata.zip" in message_of_refusal(lambda: open_dataset(drawn_dataset, "training"))


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xff\xfe\x00\xd8"])
def test_a_split_file_without_names_is_refused(drawn_dataset, content):
    listing = drawn_dataset / "metadata" / "mine.txt"
    listing.write_bytes(content)
    assert str(listing) in message_of_refusal(lambda: open_dataset(listing))


# What is no dataset


def test_an_empty_folder_is_refused(tmp_path):
    message = message_of_refusal(lambda: open_dataset(tmp_path))
    assert str(tmp_path) in message
    assert "no images here" in message


def test_a_folder_called_like_the_list_is_not_named_twice(drawn_dataset):
    assert open_dataset(drawn_dataset, "test").name == "drawn test"
    renamed = drawn_dataset.rename(drawn_dataset.with_name("test"))
    assert open_dataset(renamed, "test").name == "test"


@pytest.mark.parametrize("name", ["gone", "gone/images", "images.zip", "metadata/training.txt"])
def test_a_path_that_is_not_there_is_refused(tmp_path, name):
    with pytest.raises(FileNotFoundError, match=re.escape(str(tmp_path / name))):
        open_dataset(tmp_path / name)


@pytest.mark.parametrize("part", ["images", "masks"])
def test_a_damaged_archive_is_refused_by_name(drawn_dataset, tmp_path, part):
    archive = zip_parts(drawn_dataset, tmp_path / "zipped") / f"{part}.zip"
    archive.write_bytes(archive.read_bytes()[:-100])
    assert str(archive) in message_of_refusal(lambda: open_dataset(archive))


def test_an_archive_that_leads_outside_is_refused_by_name(drawn_dataset, tmp_path):
    archive = zip_parts(drawn_dataset, tmp_path / "zipped") / "images.zip"
    with ZipFile(archive, "a") as file:
        file.writestr("../x.tif", b"")
    message = message_of_refusal(lambda: open_dataset(archive.parent))
    assert str(archive) in message
    assert "'../x.tif'" in message


# Fields that are not whole


def test_a_mask_of_another_shape_is_refused_with_both_sizes(drawn_dataset):
    field = open_dataset(drawn_dataset).fields[0]
    write_mask(field.mask.path, np.zeros((160, 100), dtype=int))
    message = message_of_refusal(field.read_truth)
    for word in (str(field.mask), str(field.image), "160 x 100", "160 x 200"):
        assert word in message


def test_a_mask_of_a_plane_is_refused_for_a_stack(drawn_dataset):
    field = open_dataset(drawn_dataset).fields[0]
    planes = np.zeros((3, 160, 200), dtype=np.uint16)
    tifffile.imwrite(field.image.path, planes, photometric="minisblack")
    assert "3 x 160 x 200" in message_of_refusal(field.read_truth)


@pytest.mark.parametrize("part", ["image", "mask"])
@pytest.mark.parametrize("zipped", [False, True])
def test_a_field_with_a_cut_off_file_is_refused_by_name(drawn_dataset, tmp_path, part, zipped):
    path = getattr(open_dataset(drawn_dataset).fields[1], part).path
    path.write_bytes(path.read_bytes()[:-40])
    root = zip_parts(drawn_dataset, tmp_path / "zipped") if zipped else drawn_dataset
    field = open_dataset(root).fields[1]
    message = message_of_refusal(field.read_image if part == "image" else field.read_truth)
    assert path.name in message


# The field of a single image


def test_an_image_finds_its_mask_and_split(drawn_dataset):
    for field in open_dataset(drawn_dataset).fields:
        assert find_field(field.image.path) == field


def test_an_image_finds_its_mask_in_an_archive(drawn_dataset, tmp_path):
    root = zip_parts(drawn_dataset, tmp_path / "zipped")
    copytree(drawn_dataset / "images", root / "images")
    path = next((root / "images").iterdir())
    assert find_field(path).mask.path == root / "masks.zip"
    assert find_field(path).read_truth().shape == (160, 200)


def test_an_image_by_itself_has_neither_mask_nor_split(drawn_dataset, tmp_path):
    alone = tmp_path / "alone"
    alone.mkdir()
    path = move(next((drawn_dataset / "images").iterdir()), alone)
    assert (find_field(Path(path)).mask, find_field(Path(path)).split) == (None, None)


@pytest.mark.parametrize(("of_bbbc039", "found"), [(True, True), (False, False)])
def test_a_png_beside_an_image_is_its_mask_if_the_dataset_named_it(
    drawn_dataset, tmp_path, of_bbbc039, found
):
    stem = stems(drawn_dataset)[0] if of_bbbc039 else "holiday"
    path = tmp_path / f"{stem}.tif"
    tifffile.imwrite(path, np.zeros((160, 200), dtype=np.uint16))
    write_mask(path.with_suffix(".png"), np.zeros((160, 200), dtype=int))
    assert find_field(path).mask == (Source(path.with_suffix(".png")) if found else None)
