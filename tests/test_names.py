"""Names of files that no one should have, and nothing may come of but their being spelt out."""

from __future__ import annotations

import csv
import os
import sys

import numpy as np
import pytest
import tifffile

NAMES = ("a\nb", "red\x1b[31m", os.fsdecode(b"gr\xfc\xdf"), "$x$ for 5 $", "turned\u202e")


@pytest.fixture
def named(tmp_path, drawn_fields):
    """A folder of images and one of labels, each of whose files has one of the names."""
    for part in ("images", "masks"):
        (tmp_path / part).mkdir()
    for name, field in zip(NAMES, drawn_fields * 2, strict=False):
        tifffile.imwrite(tmp_path / "images" / f"{name}.tif", field.image)
        tifffile.imwrite(tmp_path / "masks" / f"{name}.tif", field.labels.astype(np.uint16))
    return tmp_path


@pytest.mark.skipif(sys.platform != "linux", reason="other systems forbid such names")
def test_a_run_over_fields_of_any_names_ends_and_shows_them_escaped(named, run):
    out = named / "$results$ for $"
    truths = named / "masks"
    (truths / f"{NAMES[0]}.tif").write_bytes(b"no labels")  # so that its name is printed
    done = run(
        "benchmark", named / "images", truths, "--model", "otsu", "--out", out, "--parquet",
    )  # fmt: skip
    assert done.code == 1, done.said
    assert "a\\nb.tif" in done.out
    assert not set(done.said) & {"\x1b", "\u202e", "\udcfc"}
    assert (out / "report.html").is_file()
    with (out / "fields.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert sorted(row["stem"] for row in rows) == sorted(
        ["red\\x1b[31m", "gr\\udcfc\\udcdf", "$x$ for 5 $", "turned\\u202e"]
    )
    page = (out / "report.html").read_text("utf-8")
    assert not set(page) & {"\x1b", "\u202e"}
    again = run(
        "benchmark", named / "images", truths, "--model", "otsu", "--out", out, "--parquet",
    )  # fmt: skip
    assert again.code == 1


@pytest.mark.skipif(sys.platform != "linux", reason="other systems forbid such names")
def test_a_message_is_one_line_whatever_the_name(named, run):
    for name in NAMES:
        path = named / "images" / f"{name}.tif"
        path.write_bytes(b"")
        done = run("segment", path, "--model", "otsu", "--out", named / "labels")
        assert done.code == 2
        assert done.err.count("\n") == 1
        assert done.err.isascii()


def test_a_model_whose_name_has_dollars_is_in_the_legends_of_the_report(named, run, tmp_path):
    from napari_nucseg.segmenters import catalogue

    weights = tmp_path / "$costs$ 5$ $.safetensors"
    weights.write_bytes(catalogue.find(catalogue.BUNDLED).path.read_bytes())
    out = tmp_path / "out"
    for name in NAMES[:3]:
        (named / "images" / f"{name}.tif").unlink()
        (named / "masks" / f"{name}.tif").unlink()
    done = run("benchmark", named / "images", named / "masks", "--model", weights, "--out", out)
    assert done.code == 0, done.said
    assert "$costs$ 5$ $.safetensors" in (out / "report.html").read_text("utf-8")
