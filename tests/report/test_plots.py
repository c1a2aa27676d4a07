"""The plots of a report, from a few fields to a screen."""

from __future__ import annotations

import re
from itertools import cycle, islice

import numpy as np
import pytest

from napari_nucseg.analysis.comparison import compare
from napari_nucseg.metrics.presets import DEFAULT_RULE
from napari_nucseg.metrics.summary import summarise
from napari_nucseg.report.page import Section
from napari_nucseg.report.plots import plot_errors, plot_fields

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
    few, more = plot_fields([section(10)]), plot_fields([section(20)])
    assert "<image" not in few
    assert shapes_in(more) - shapes_in(few) == 10 * 6


def test_a_screen_is_plotted_as_a_picture_with_axes_of_shapes(section):
    few, many = plot_fields([section(10)]), plot_fields([section(SCREEN)] * 2)
    assert "data:image/png" in many
    assert len(many) < 1_000_000
    assert shapes_in(many) < shapes_in(few)
    assert words_of(many)[:6] == words_of(few)[:6]  # what the scores are called


@pytest.mark.parametrize("missed", [0, 1, 5])
def test_nuclei_are_counted_in_whole_numbers(section, missed):
    ticks = [word for word in words_of(plot_errors([section(2, missed)])) if word[0].isdigit()]
    assert "0" in ticks
    assert all(tick.isdigit() for tick in ticks)
