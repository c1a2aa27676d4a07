"""The plots of a report, from a few fields to a screen."""

from __future__ import annotations

import base64
import csv
import io
import re
from dataclasses import replace
from itertools import cycle, islice, pairwise

import numpy as np
import pytest
from PIL import Image

from napari_nucseg.analysis.comparison import compare
from napari_nucseg.metrics.score import DEFAULT_RULE
from napari_nucseg.metrics.summary import summarise
from napari_nucseg.report.page import Section
from napari_nucseg.report.page_plots import (
    new_figure,
    plot_errors,
    plot_fields,
    plot_thresholds,
)
from napari_nucseg.report.plates import plate_maps, plot_plates
from napari_nucseg.report.plots import Theme, draw_areas, dress

SCREEN = 20_585


@pytest.fixture
def section(drawn_fields):
    """Say of a number of fields what is said of a model that misses some nuclei of each."""

    def make(fields, missed=1):
        scores = []
        for field in drawn_fields[:2]:
            labels = np.where(field.labels <= missed, 0, field.labels)
            scores.append(compare(field.labels, labels).score(0.5))
        told = dict(enumerate(islice(cycle(scores), fields)))
        summary = summarise(list(told.values())[:2])
        return Section("fluo-nuclei", told, summary, DEFAULT_RULE, worst=(), made=())

    return make


def words_of(svg):
    """The words of a plot, which stand beside their shapes."""
    return re.findall(r"<!-- (.*?) -->", svg)


def shapes_in(svg):
    return svg.count("<use ")


def test_a_dot_is_a_shape_where_fields_are_few(section):
    few, more = plot_fields([section(10)]).svg, plot_fields([section(20)]).svg
    assert "<image" not in few
    assert shapes_in(more) - shapes_in(few) == 10 * 6


def test_a_screen_is_plotted_as_a_picture_with_axes_of_shapes(section):
    few, many = plot_fields([section(10)]).svg, plot_fields([section(SCREEN)] * 2).svg
    assert "data:image/png" in many
    assert len(many) < 1_000_000
    assert shapes_in(many) < shapes_in(few)
    assert words_of(many)[:6] == words_of(few)[:6]  # what the scores are called


@pytest.mark.parametrize("missed", [0, 1, 5])
def test_nuclei_are_counted_in_whole_numbers(section, missed):
    ticks = [word for word in words_of(plot_errors([section(2, missed)]).svg) if word[0].isdigit()]
    assert "0" in ticks
    assert all(tick.isdigit() for tick in ticks)


def test_a_dot_says_its_field_and_score(section):
    one = replace(section(3), names={0: "A01_s1", 1: "A<2>"})
    plot = plot_fields([one])
    dice = one.scores[0].pixels.dice
    said = re.findall(r"<use [^>]*><title>(.*?)</title></use>", plot.svg)
    assert said[0] == f"A01_s1: Dice (= F1) {dice:.3f}"
    assert said[1].startswith("A&lt;2&gt;: Dice (= F1) ")
    assert said[2].startswith("2: Dice (= F1) ")  # a field without a name of its own


def test_every_plot_can_be_saved(section):
    for plot in (make([section(3)]) for make in (plot_fields, plot_thresholds, plot_errors)):
        files = {
            ending: base64.b64decode(address.partition(",")[2])
            for ending, address in plot.files.items()
        }
        assert files["svg"].startswith(b"<?xml")
        assert Image.open(io.BytesIO(files["png"])).size[0] > 500
        header, *rows = csv.reader(files["csv"].decode().splitlines())
        assert header[0] == "model"
        assert {row[0] for row in rows} == {"fluo-nuclei"}
    fields = plot_fields([section(3)]).files["csv"]
    rows = list(csv.DictReader(base64.b64decode(fields.partition(",")[2]).decode().splitlines()))
    assert float(rows[0]["objects_f1"]) == section(3).scores[0].objects.f1


@pytest.mark.parametrize("areas", [(200, 280), (18, 520), (15, 9000), (3, 250_000), (0.4, 70)])
def test_areas_on_an_axis_are_plain_numbers_that_do_not_overlap(areas):
    figure, axes = new_figure(3.2, 2.6)  # as large as in a panel
    draw_areas(axes, list(np.geomspace(*areas, 50)), [areas[0]], Theme())
    dress(axes, Theme())
    figure.draw_without_rendering()

    low, high = axes.get_xlim()
    every = axes.xaxis.get_ticklabels(which="both")
    shown = [one for one in every if one.get_text() and low <= one.get_position()[0] <= high]
    assert len(shown) >= 2
    assert all(float(one.get_text().replace(",", "")) == one.get_position()[0] for one in shown)
    places = sorted(one.get_window_extent().intervalx.tolist() for one in shown)
    assert all(end < start for (_, end), (start, _) in pairwise(places))


def read_plot(plot):
    content = base64.b64decode(plot.files["csv"].split(",")[1]).decode("utf-8-sig")
    return list(csv.reader(io.StringIO(content)))


def plots_of(name, wells):
    return list(plot_plates("otsu", [{"well": well, name: value} for well, value in wells.items()]))


def test_a_plate_shows_a_value_for_each_well():
    (plot,) = plots_of("object_f1", {"B03": 0.5, "H12": 0.75, "C01": np.nan})
    assert read_plot(plot) == [["well", "value"], ["B03", "0.5"], ["H12", "0.75"], ["C01", ""]]
    texts = re.findall(r"<!-- (.*?) -->", plot.svg)
    assert {"A", "H", "1", "12", "otsu: F1 of a well"} <= set(texts)
    assert "I" not in texts  # of a plate of 96 wells


@pytest.mark.parametrize(
    "wells",
    [{}, {"A01": 1.0}, {"A01": 1.0, "left": 2.0}, {"A01": np.nan, "A02": np.nan}],
)
def test_what_is_no_plate_is_not_drawn_as_one(wells):
    assert plots_of("object_f1", wells) == []


def test_nuclei_are_not_counted_in_halves():
    (plot,) = plots_of("predicted", {"A01": 1, "A02": 2, "B03": 3})
    texts = re.findall(r"<!-- (.*?) -->", plot.svg)
    assert {"1", "2", "3"} <= set(texts)
    assert not [text for text in texts if "." in text]


def test_doubtful_fields_are_mapped_where_there_are_any():
    assert plots_of("doubtful_fields", {"A01": 0, "A02": 0}) == []
    (plot,) = plots_of("doubtful_fields", {"A01": 0, "A02": 3})
    assert plot.name == "otsu: Doubtful fields of a well"


def test_the_well_at_a_point_of_a_map_is_known():
    rows = [{"well": well, "nuclei": 5} for well in ("B03", "C01")]
    plate = plate_maps(rows)["Nuclei of a well"]
    assert [plate.well_at(*at) for at in ((2.3, 0.8), (0, 2), (0, 0))] == ["B03", "C01", None]
