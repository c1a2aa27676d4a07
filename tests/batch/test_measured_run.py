"""Runs over images without ground truth: tables, units, and what is refused."""

from __future__ import annotations

import csv
import re

import numpy as np
import pytest
import tifffile

from napari_nucseg.batch.measured_run import measure_models
from napari_nucseg.batch.results_folder import ResultsFolder
from napari_nucseg.batch.run_setup import check_folder, set_up
from napari_nucseg.batch.saved_results import open_results
from napari_nucseg.io.datasets import open_dataset
from napari_nucseg.io.images import read_labels
from napari_nucseg.io.sources import Source
from napari_nucseg.io.writers import read_provenance, write_labels
from napari_nucseg.metrics.score import DEFAULT_RULE
from napari_nucseg.progress import ignore
from napari_nucseg.segmenters import catalogue
from tests.conftest import write_scaled

EDGE = 0.5
"""Edge of a pixel of `write_scaled`, in micrometres."""


@pytest.fixture
def images(tmp_path, drawn_fields):
    """A folder of two images with a pixel size, the second without nuclei."""
    folder = tmp_path / "images"
    folder.mkdir()
    write_scaled(folder / "a.tif", drawn_fields[0].image)
    write_scaled(folder / "b.tif", np.full_like(drawn_fields[0].image, 7))
    return folder


def run(folder, out, **chosen):
    setup = set_up(catalogue.find("otsu"), "cpu", chosen, DEFAULT_RULE)
    return measure_models(open_dataset(folder), [setup], out, ignore)


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_areas_are_in_micrometres_where_all_images_have_a_pixel_size(images, tmp_path):
    (found,) = run(images, tmp_path / "out")
    rows = read(tmp_path / "out" / "measurements.csv")
    areas = [float(row["area_um2"]) for row in rows]
    assert areas == [float(row["area_px"]) * EDGE**2 for row in rows]
    assert found.header[2:4] == ("Median area (µm²)", "Median diameter (µm)")
    name, count, area, diameter, *_ = found.cells[1]
    assert (name, int(count)) == ("a", len(areas))
    assert float(area) == pytest.approx(np.median(areas), abs=0.5)
    assert float(diameter) == pytest.approx(2 * np.sqrt(np.median(areas) / np.pi), abs=0.05)


def test_a_field_without_nuclei_is_empty_and_not_0(images, tmp_path):
    (found,) = run(images, tmp_path / "out")
    assert found.cells[2] == ("b", "0", "empty", "empty", "empty", "0")
    row = read(tmp_path / "out" / "fields.csv")[1]
    assert (row["nuclei"], row["median_area_px"], row["mean_intensity"]) == ("0", "", "")


def test_images_without_any_nuclei_are_reported_too(images, tmp_path):
    (images / "a.tif").unlink()
    (found,) = run(images, tmp_path / "out")
    assert found.count == 0
    assert "There are no nuclei here." in (tmp_path / "out" / "report.html").read_text("utf-8")


def test_an_image_that_lost_its_pixel_size_fails_by_itself(images, tmp_path, drawn_fields):
    run(images, tmp_path / "out")
    tifffile.imwrite(images / "a.tif", drawn_fields[0].image)
    (found,) = run(images, tmp_path / "out")
    assert "this image has no pixel size" in found.failed["a"]
    assert list(found.nuclei) == ["b"]


def test_other_values_are_refused_in_the_same_folder(images, tmp_path):
    run(images, tmp_path / "out")
    with pytest.raises(ValueError, match="parameters min_size: 15 before, 40 now"):
        run(images, tmp_path / "out", min_size=40)


def test_a_folder_whose_fields_are_scored_now_is_refused_in_words(images, tmp_path):
    run(images, tmp_path / "out")
    plan = ResultsFolder(tmp_path / "out").read_run()["plan"]
    del plan["scored"]
    with pytest.raises(ValueError, match=r"another run\. scored: no before, yes now\. Choose"):
        check_folder(ResultsFolder(tmp_path / "out"), plan)


def test_the_folder_opens_as_results_without_verdicts(images, tmp_path):
    (found,) = run(images, tmp_path / "out")
    (results,) = open_results(tmp_path / "out")
    assert not results.is_scored
    assert results.done == (0, 1)
    assert results.made["model"] == "otsu"
    assert results.labels(0).max() == found.count


def test_a_stack_says_what_can_be_done_and_no_option_that_runs_lack(images, tmp_path, drawn_fields):
    tifffile.imwrite(images / "c.tif", np.stack([drawn_fields[0].image] * 5))
    (found,) = run(images, tmp_path / "out")
    assert "c.tif: a stack of 5 planes, and fields here are planes; save one" in found.failed["c"]
    assert "(--volume)" not in found.failed["c"]
    assert list(found.nuclei) == ["a", "b"]


def test_labels_that_stay_name_no_option_that_runs_lack(images, tmp_path):
    run(images, tmp_path / "out")
    path = tmp_path / "out" / "labels" / "a.tif"
    write_labels(path, np.roll(read_labels(Source(path)), 3, axis=0), read_provenance(path))
    (tmp_path / "out" / "labels" / "b.tif").write_text("mine")
    (found,) = run(images, tmp_path / "out")
    assert "are kept; without their file, they are made anew" in found.suspect["a"][-1]
    assert "it is kept. Choose another folder of results, or move" in found.failed["b"]


def test_a_run_that_failed_altogether_says_why(images, tmp_path):
    for path in images.iterdir():
        path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match=re.escape(f"the first is {images / 'a.tif'}")):
        run(images, tmp_path / "out")
