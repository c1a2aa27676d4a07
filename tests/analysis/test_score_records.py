from __future__ import annotations

import csv

import numpy as np
import pytest
from scipy import ndimage

from napari_nucseg.analysis.comparison import compare_planes
from napari_nucseg.analysis.score_records import join, object_columns
from napari_nucseg.io.writers import write_columns, write_parquet
from napari_nucseg.metrics.matching import DSB2018, match
from napari_nucseg.metrics.overlap import find_overlap
from napari_nucseg.progress import ignore


@pytest.fixture
def pair():
    """Nucleus 7 found as 3, nuclei 9 and 20 swallowed by 5, and 8 made up."""
    truth, predicted = np.zeros((2, 20, 30), int)
    truth[2:6, 2:8] = 7
    truth[10:15, 2:7] = 9
    truth[10:15, 7:12] = 20
    predicted[2:6, 2:7] = 3
    predicted[10:15, 2:12] = 5
    predicted[16:19, 20:25] = 8
    return truth, predicted


@pytest.fixture
def columns(pair):
    return object_columns("=A1", *pair, match(find_overlap(*pair), 0.6), DSB2018, pixel_size=0.5)


def test_every_object_has_a_row_that_explains_it(columns):
    assert columns["side"] == ["truth"] * 3 + ["predicted"] * 3
    assert columns["object"] == [7, 9, 20, 3, 5, 8]
    assert columns["verdict"] == ["matched", "merged", "merged", "matched", "merged", "spurious"]
    assert columns["partners"] == [(3,), (5,), (5,), (7,), (9, 20), ()]
    assert columns["iou"] == [20 / 24, 0.5, 0.5, 20 / 24, 0.5, 0]
    assert columns["beside_error"] == [False] * 6


def test_every_row_tells_by_which_rule_it_was_judged(columns):
    assert columns["preset"] == [DSB2018.name] * 6
    assert columns["threshold"] == [0.6] * 6


def test_places_and_areas_are_in_pixels_and_in_micrometres(pair, columns):
    for side, labels in zip(("truth", "predicted"), pair, strict=True):
        rows = [row for row, name in enumerate(columns["side"]) if name == side]
        for row in rows:
            number = columns["object"][row]
            y, x = ndimage.center_of_mass(labels == number)
            place = columns["centroid_y_px"][row], columns["centroid_x_px"][row]
            assert place == pytest.approx((y, x))
            assert columns["centroid_x_um"][row] == pytest.approx(x / 2)
            assert columns["area_px"][row] == np.count_nonzero(labels == number)
            assert columns["area_um2"][row] == columns["area_px"][row] / 4


def test_a_field_without_objects_has_the_columns_and_no_row(columns):
    nothing = np.zeros((4, 4), int)
    matching = match(find_overlap(nothing, nothing))
    empty = object_columns("b", nothing, nothing, matching, DSB2018, pixel_size=0.5)
    assert list(empty) == list(columns)
    assert set(map(len, empty.values())) == {0}
    assert join([empty, columns]) == columns


def test_a_table_of_objects_has_no_formula(columns, tmp_path):
    write_columns(tmp_path / "objects.csv", columns)
    with (tmp_path / "objects.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["field"] == "'=A1"
    assert [row["partners"] for row in rows] == ["3", "5", "5", "7", "9 20", ""]


def test_parquet_keeps_types_and_lists(columns, tmp_path):
    from pyarrow import parquet

    write_parquet(tmp_path / "objects.parquet", columns)
    table = parquet.read_table(tmp_path / "objects.parquet").to_pydict()
    expected = columns | {"partners": [list(ids) for ids in columns["partners"]]}
    assert table == expected
    assert str(parquet.read_schema(tmp_path / "objects.parquet").field("object").type) == "int64"


def test_without_pyarrow_parquet_is_refused_in_words(columns, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(ValueError, match=r"pip install 'napari-nucseg\[parquet\]'"):
        write_parquet(tmp_path / "objects.parquet", columns)
    assert not list(tmp_path.iterdir())


def test_more_objects_than_a_table_holds_are_refused_with_what_to_do():
    labels = np.arange(1, 1001 * 1001 + 1).reshape(1001, 1001)
    told = "1,002,001 true and 1,002,001 predicted objects are too many for a table.*; crop the"
    with pytest.raises(ValueError, match=told):
        object_columns("a", labels, labels, match(find_overlap(labels, labels)), DSB2018)
    with pytest.raises(ValueError, match=told):
        compare_planes(lambda plane: (labels, labels), (0,), {}, ignore)
