from __future__ import annotations

from io import StringIO

import numpy as np
import pytest
import tifffile
from rich.console import Console

from napari_nucseg.batch.image_task import Choice, ImageTask
from napari_nucseg.batch.run_setup import set_up
from napari_nucseg.cli import console as bars
from napari_nucseg.io.sources import Source
from napari_nucseg.metrics.score import DEFAULT_RULE
from napari_nucseg.segmenters import catalogue
from napari_nucseg.segmenters.parameters import Depth

LONG = "a stack with a very long name of the kind that microscopes give to their files t001_w1.tif"


@pytest.fixture
def screen(monkeypatch):
    """A terminal of 80 columns, whose lines are read by calling it with what is shown."""
    narrow = Console(width=80, file=StringIO())
    monkeypatch.setattr(bars, "errors", narrow)

    def lines(bar):
        narrow.file = StringIO()
        narrow.print(bar.get_renderable())
        return [line.rstrip() for line in narrow.file.getvalue().splitlines()]

    return lines


def test_a_bar_stays_on_one_line_with_its_count_whatever_the_name(screen):
    bar = bars.counting()
    follow = bars.follow_with(bar, "Images")

    assert "Images" in screen(bar)[0]
    follow(12_345, 20_585, LONG)

    (line,) = screen(bar)
    assert len(line) <= 80
    assert "12345 of 20585" in line
    assert "a stack with" in line


def test_the_planes_of_a_stack_are_counted_below_it(screen):
    bar = bars.counting()
    images, planes = bars.follow_with(bar, "Images"), bars.follow_parts_with(bar, "Planes")

    images(0, 1, LONG)
    planes(0, 1)
    assert len(screen(bar)) == 1
    planes(7, 40)

    above, below = screen(bar)
    assert " 0 of 1 " in above
    assert below.startswith("Planes")
    assert " 7 of 40" in below


def test_a_stack_tells_its_planes_while_it_is_segmented(tmp_path, drawn_fields):
    stack = np.stack([field.image for field in drawn_fields[:2]])
    tifffile.imwrite(tmp_path / "stack.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    told = []
    setup = set_up(catalogue.find("otsu"), "cpu", {}, DEFAULT_RULE)
    work = ImageTask(
        setup, tmp_path / "out", Choice(depth=Depth.PLANES), progress=lambda *at: told.append(at)
    )

    saved = work(Source(tmp_path / "stack.tif"))

    assert saved.count > 0
    assert [at[:2] for at in told if at[0] == 1] == [(1, 2)] * 2
    assert told[-1][:2] == (2, 2)
