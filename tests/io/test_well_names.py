"""Files that name their well, site and channel."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import tifffile

from napari_nucseg.io.datasets import open_dataset
from napari_nucseg.io.plates import PlateOptions

IMAGEXPRESS = r"run_(?P<well>[A-P]\d\d)_s(?P<site>\d)_w(?P<channel>\d)\.TIF"
OPERA = r"r(?P<row>\d\d)c(?P<column>\d\d)f(?P<site>\d\d)p01-ch(?P<channel>\d)sk1fk1fl1\.tiff"


def write(folder, names):
    folder.mkdir()
    for number, name in enumerate(names):
        tifffile.imwrite(folder / name, np.full((40, 50), number, np.uint16))
    return folder


@pytest.fixture
def imagexpress(tmp_path):
    wells = ("A01_s1", "A01_s2", "B12_s1", "B12_s2")
    names = [f"run_{well}_w{channel}.TIF" for well in wells for channel in "12"]
    return write(tmp_path / "plate", [*names, "thumbnail.tif"])


def open_by(folder, pattern, channel=""):
    return open_dataset(folder, plate=PlateOptions(channel, pattern=pattern))


def test_files_are_fields_of_wells_in_one_channel(imagexpress):
    dataset = open_by(imagexpress, IMAGEXPRESS, "2")
    assert [one.name for one in dataset.fields] == ["A01_s1", "A01_s2", "B12_s1", "B12_s2"]
    assert dataset.fields[0].stem == "run_A01_s1_w2"
    last = dataset.fields[-1]
    assert (last.well, last.row, last.column, last.site) == ("B12", "B", 12, 2)


def test_rows_that_are_numbers_become_letters(tmp_path):
    names = [f"r{row}c03f01p01-ch1sk1fk1fl1.tiff" for row in ("02", "27")]
    dataset = open_by(write(tmp_path / "opera", names), OPERA)
    assert [one.name for one in dataset.fields] == ["B03_s1", "AA03_s1"]


def test_files_whose_names_tell_no_channel_are_of_none(imagexpress):
    pattern = r"run_(?P<well>...)_s(?P<site>\d)_w(?:(?P<channel>2)|1)\.TIF"
    assert [one.stem[-2:] for one in open_by(imagexpress, pattern, "2").fields] == ["w2"] * 4


@pytest.mark.parametrize(
    ("pattern", "channel", "told"),
    [
        (IMAGEXPRESS, "", "several channels; choose 1, 2"),
        (IMAGEXPRESS, "3", "no file is of channel 3; choose 1, 2"),
        (r"run_(?P<well>...)_s\d_w1\.TIF", "", "two images of A01 by the pattern"),
        (r"run_(?P<well>...)_s1_w1\.TIF", "1", "no group channel"),
        (r"run_(?P<well>Z99)?.*s1_w1\.TIF", "", "its well is nothing by the pattern"),
        (r"run_(?P<well>...)_s1(?:_w(?P<channel>2)|_w1)\.TIF", "", "several channels; choose 2"),
        (r"run_(?P<well>[A-Z]\d)\.TIF", "", "no image of plate is named so, such as"),
        (r"(?P<well>run).*s1_w1\.TIF", "", "its well is RUN by the pattern"),
        (r"run_(?P<site>...).*", "", r"it needs a group \(\?P<well>"),
        (r"run_(?P<well>...)_(?P<plane>.).*", "", "and no others"),
        (r"run_(?P<well>...", "", "no regular expression"),
    ],
)
def test_patterns_that_do_not_tell_are_refused(imagexpress, pattern, channel, told):
    with pytest.raises(ValueError, match=told):
        open_by(imagexpress, pattern, channel)


def test_a_folder_of_wells_is_measured_by_well(run, imagexpress, tmp_path, drawn_fields):
    for path in imagexpress.glob("*_w2.TIF"):
        tifffile.imwrite(path, drawn_fields[0].image)
    out = tmp_path / "out"
    options = "--pattern", IMAGEXPRESS, "--channel", "2", "-m", "otsu"
    done = run("benchmark", imagexpress, *options, "--out", out)
    assert done.code == 0, done.said
    with (out / "fields.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["well"], row["column"], row["site"]) for row in rows][1:3] == [
        *(("A01", "1", "2"), ("B12", "12", "1")),
    ]
    assert "otsu: Nuclei of a well" in (out / "report.html").read_text("utf-8")


def test_a_note_of_how_a_file_is_read_is_no_doubt_about_its_well(
    run, imagexpress, tmp_path, drawn_fields
):
    inverted = np.iinfo(drawn_fields[0].image.dtype).max - drawn_fields[0].image
    for path in imagexpress.glob("*_w2.TIF"):
        tifffile.imwrite(path, inverted, photometric="miniswhite")
    options = "--pattern", IMAGEXPRESS, "--channel", "2", "-m", "otsu"
    done = run("benchmark", imagexpress, *options, "--out", tmp_path / "out")
    assert "it was inverted" in done.said
    with (tmp_path / "out" / "wells.csv").open(newline="") as file:
        assert [row["doubtful_fields"] for row in csv.DictReader(file)] == ["0", "0"]
