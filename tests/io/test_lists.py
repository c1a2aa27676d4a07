from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_nucseg.io.datasets import open_dataset

PAIRS = (("my images/a 1.tif", "truth/a.tif"), ("my images/b,2.tif", "truth/b.tif"))


@pytest.fixture
def folder(tmp_path) -> Path:
    """Two images and their ground truth, whose names have nothing in common."""
    for name in (one for pair in PAIRS for one in pair):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        tifffile.imwrite(tmp_path / name, np.zeros((4, 5), np.uint16))
    return tmp_path


def pairs_of(path: Path, split: str | None = None) -> list[tuple[str, str]]:
    """Open a table; return the files of its fields, from its folder."""
    fields = open_dataset(path, split).fields
    files = [(field.image.path, field.mask.path) for field in fields]
    return [tuple(one.relative_to(path.parent).as_posix() for one in both) for both in files]


def table_of(header: str, mark: str = ";", end: str = "\n", quote: str = "") -> str:
    rows = [mark.join(f"{quote}{one}{quote}" for one in pair) for pair in PAIRS]
    return end.join([header, *rows, ""])


@pytest.mark.parametrize(
    "text",
    [
        table_of("image;mask"),
        table_of("Image;Ground truth", end="\r\n"),
        table_of("image_path;label-file", end="\r"),
        table_of("image\ttarget", "\t"),
        table_of("image, mask", ", ", quote='"'),
        table_of("image ; mask", " ; "),
        table_of("sep=;\r\nimage;mask", end="\r\n"),
        table_of("\n;\n ; \nimage;mask"),
        table_of("image;mask").replace("/", "\\"),
        table_of("image;mask").partition("\n")[2],
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_table_is_read_however_a_spreadsheet_has_written_it(folder, text, encoding):
    (folder / "pairs.csv").write_bytes(text.encode(encoding))
    assert pairs_of(folder / "pairs.csv") == list(PAIRS)


def test_a_table_may_end_in_tsv(folder):
    (folder / "pairs.tsv").write_text(table_of("image\tmask", "\t"))
    assert pairs_of(folder / "pairs.tsv") == list(PAIRS)


def test_a_field_of_a_table_may_lack_its_ground_truth(folder):
    (folder / "pairs.csv").write_text(f"image,mask\n{PAIRS[0][0]},\n")
    [field] = open_dataset(folder / "pairs.csv").fields
    assert (field.stem, field.mask) == ("a 1", None)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("photo;nuclei\na.tif;b.tif\n", "its first line, photo, nuclei, names neither"),
        ("image;mask\n;truth/a.tif\n", "a line names no image: , truth/a.tif"),
        (table_of("image;mask") + ";".join(PAIRS[0]), "a 1.tif is named twice"),
        ("image;mask\na.tif;b.tif\n", "a.tif: there is no such file, which"),
        ("image\na.tif\n", "not a table of pairs"),
        (f"image;mask\n{'a' * 200_000};b.tif\n", "limit (131072)); save it as CSV again"),
    ],
)
def test_what_is_wrong_with_a_table_is_said(folder, text, reason):
    (folder / "pairs.csv").write_text(text)
    with pytest.raises((ValueError, FileNotFoundError)) as refusal:
        open_dataset(folder / "pairs.csv")
    assert reason in str(refusal.value)


def test_a_split_that_a_table_lacks_is_refused_with_those_it_has(folder):
    rows = [f"{one};{other};{split}" for (one, other), split in zip(PAIRS, "xy", strict=True)]
    (folder / "pairs.csv").write_text("\n".join(["image;mask;split", *rows]))
    assert pairs_of(folder / "pairs.csv", "y") == [PAIRS[1]]
    with pytest.raises(ValueError, match="it has no split z; there are x, y"):
        open_dataset(folder / "pairs.csv", "z")


@pytest.mark.parametrize("name", ["images\\a.tif", "D:\\data\\images\\a.tif", "images/a.tif"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_list_is_read_however_windows_has_written_it(tmp_path, name, encoding):
    (tmp_path / "images").mkdir()
    for stem in "ab":
        tifffile.imwrite(tmp_path / "images" / f"{stem}.tif", np.zeros((4, 5), np.uint16))
    (tmp_path / "training.txt").write_bytes(f"{name}\r\n".encode(encoding))
    assert [field.stem for field in open_dataset(tmp_path, "training").fields] == ["a"]
