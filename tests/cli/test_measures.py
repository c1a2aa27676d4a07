from __future__ import annotations

import csv

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_nucseg.io.writers import read_provenance, write_labels
from tests.cli.conftest import parse


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_measures_of_all_images_are_in_one_table(run, images, tmp_path):
    line = ("segment", images, "--measures", "--out", tmp_path)

    done = run(*line, "--json")

    found = parse(done.out)
    rows = rows_of(tmp_path / "measurements.csv")
    assert len(rows) == sum(one["count"] for one in found["segmented"])
    assert {row["image"] for row in rows} == {one["name"] for one in found["segmented"]}
    assert all(float(row["intensity_background"]) < float(row["intensity_mean"]) for row in rows)
    assert all(row["flow_error"] for row in rows)
    before = (tmp_path / "measurements.csv").read_bytes()
    assert "(already exists)" in run(*line).out
    assert (tmp_path / "measurements.csv").read_bytes() == before


def test_labels_without_their_table_are_made_again_and_those_edited_are_measured_anew(
    run, images, tmp_path
):
    run("segment", images, "--out", tmp_path)
    assert "(already exists)" not in run("segment", images, "--measures", "--out", tmp_path).out
    path = sorted(tmp_path.glob("*.tif"))[0]
    labels = tifffile.imread(path)
    made = read_provenance(path)
    write_labels(path, np.where(labels == 1, 0, labels), made)

    run("segment", images, "--measures", "--out", tmp_path)

    rows = [row for row in rows_of(tmp_path / "measurements.csv") if row["image"] == made["image"]]
    assert "1" not in {row["index"] for row in rows}
    assert len(rows) == len(np.unique(labels)) - 2
    assert {row["flow_error"] for row in rows} == {""}


def test_a_table_of_labels_that_were_replaced_is_made_anew(run, images, tmp_path):
    line = ("segment", images / "a.tif", "--out", tmp_path, "-m", "otsu")
    run(*line, "--measures")
    run(*line, "--min-size", "300")

    run(*line, "--min-size", "300", "--measures")

    labels = tifffile.imread(tmp_path / "a.tif")
    areas = [int(row["area_px"]) for row in rows_of(tmp_path / "measurements.csv")]
    assert areas == np.bincount(labels.ravel())[1:].tolist()


def test_channels_that_a_file_tells_of_are_to_be_chosen(run, refuse, tmp_path, drawn_fields):
    image = drawn_fields[0].image
    both = np.stack([image // 2, image])
    path = tmp_path / "a.ome.tif"
    line = ("segment", path, "--out", tmp_path / "out", "-m", "otsu")

    tifffile.imwrite(path, both, metadata={"axes": "CYX"})
    assert "it holds channels; choose that of the nuclei by --channel, or if" in refuse(*line)
    tifffile.imwrite(path, np.stack([both] * 3, axis=1), metadata={"axes": "CZYX"})
    message = "choose that of the nuclei by --channel, and say how to take the other planes by"
    assert message in refuse(*line)
    assert message in refuse(*line, "--volume", "stitched")
    assert run(*line, "--volume", "stitched", "--channel", "2").code == 0


def test_a_folder_that_is_continued_has_the_measures_of_all_its_images(run, images, tmp_path):
    line = ("--measures", "--out", tmp_path, "-m", "otsu")
    run("segment", images / "a.tif", *line)

    told = run("segment", images / "b.png", *line)

    table = tmp_path / "measurements.csv"
    assert "nuclei of 2 images are in" in told.flat
    assert list(dict.fromkeys(row["image"] for row in rows_of(table))) == ["a.tif", "b.png"]
    run("segment", images / "a.tif", "--out", tmp_path, "-m", "otsu", "--min-size", "300")
    told = run("segment", images / "b.png", *line)
    assert "a.tif was changed since it was measured, and is not in" in told.said
    assert {row["image"] for row in rows_of(table)} == {"b.png"}


def test_a_table_of_others_is_kept(run, refuse, images, tmp_path):
    (tmp_path / "measurements.csv").write_text("mine,1\n")
    message = refuse("segment", images, "--measures", "--out", tmp_path)
    assert "is no table of measures; choose another --out" in message
    assert (tmp_path / "measurements.csv").read_text() == "mine,1\n"


def test_a_volume_has_a_row_a_nucleus_in_micrometres(run, tmp_path, drawn_fields):
    stack = np.stack([field.image for field in drawn_fields[:1]] * 3)
    options = {"imagej": True, "resolution": (2, 2)}
    metadata = {"axes": "ZYX", "unit": "um", "spacing": 1.5}
    tifffile.imwrite(tmp_path / "a.tif", stack, metadata=metadata, **options)

    done = run(
        "segment", tmp_path / "a.tif", "--volume", "stitched", "--measures", "-o", tmp_path / "out"
    )

    rows = rows_of(tmp_path / "out" / "measurements.csv")
    labels = tifffile.imread(tmp_path / "out" / "a.tif")
    assert done.code == 0
    assert len(rows) == len(np.unique(labels)) - 1
    voxels = np.bincount(labels.ravel())[int(rows[0]["index"])]
    assert float(rows[0]["volume_um3"]) == pytest.approx(voxels * 0.25 * 1.5)


def test_every_channel_is_measured_and_columns_are_named_as_in_cellprofiler(
    run, tmp_path, drawn_fields
):
    image = drawn_fields[0].image
    eight = np.asarray(image / image.max() * 255, np.uint8)
    rgb = np.stack([eight // 2, eight // 4, eight], axis=-1)
    Image.fromarray(rgb).save(tmp_path / "a.png")

    run(
        "segment", tmp_path / "a.png", "--channel", "blue", "--measures", "--cellprofiler",
        "--out", tmp_path / "out",
    )  # fmt: skip

    row = rows_of(tmp_path / "out" / "measurements.csv")[0]
    assert list(row)[:4] == ["FileName", "ObjectNumber", "ImageNumber", "AreaShape_Area"]
    blue, red = (float(row[f"Intensity_MeanIntensity_{name}"]) for name in ("blue", "red"))
    assert red == pytest.approx(blue / 2, rel=0.02)
    assert float(row["Intensity_MeanIntensity"]) == blue
