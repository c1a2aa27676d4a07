from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageColor
from skimage.color import rgb2lab

from napari_nucseg.analysis.drawing import VERDICT_COLOURS, picture_verdicts
from napari_nucseg.cli.main import has_display, run_headless
from napari_nucseg.io.synthetic import draw_field
from napari_nucseg.metrics.verdicts import Verdict
from tests.oracle import oracle_setup

SHAPE = (40, 60)


def colours_in(picture, region=np.s_[:, :]):
    """The verdicts whose colours are seen in a part of a picture."""
    seen = {tuple(int(v) for v in pixel) for pixel in picture[region].reshape(-1, 3)}
    return {v for v, colour in VERDICT_COLOURS.items() if ImageColor.getrgb(colour) in seen}


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(100, 400, SHAPE, dtype=np.uint16)


@pytest.fixture
def squares():
    """Labels of squares of 10 pixels, by their corners."""

    def draw(*corners):
        labels = np.zeros(SHAPE, np.int32)
        for number, (y, x) in enumerate(corners, 1):
            labels[y : y + 10, x : x + 10] = number
        return labels

    return draw


def test_a_picture_is_as_large_as_the_image_and_has_colour(image, squares):
    picture = picture_verdicts(image, squares((5, 5)), squares((5, 5)))
    assert picture.shape == (*SHAPE, 3)
    assert picture.dtype == np.uint8


def test_every_nucleus_is_outlined_in_the_colour_of_its_verdict(image, squares):
    truth = squares((5, 5), (5, 25))
    predicted = squares((5, 5), (25, 40))
    picture = picture_verdicts(image, truth, predicted)
    assert colours_in(picture, np.s_[:, :20]) == {Verdict.MATCHED}
    assert colours_in(picture, np.s_[:20, 20:]) == {Verdict.MISSED}
    assert colours_in(picture, np.s_[20:, 20:]) == {Verdict.SPURIOUS}


def test_outlines_of_spurious_nuclei_are_as_wide_as_others_and_cover_none(image, squares):
    truth, predicted = squares((5, 5)), squares((5, 5), (5, 15), (25, 40))
    picture = picture_verdicts(image, truth, predicted)
    blue = np.all(picture == ImageColor.getrgb(VERDICT_COLOURS[Verdict.SPURIOUS]), axis=2)
    assert set(blue[27:33, 30:].sum(axis=1)) == {0, 4}  # two pixels on either side, in dashes
    assert colours_in(picture, np.s_[5:15, 5:15]) == {Verdict.MATCHED}


def test_the_threshold_decides_what_is_a_match(image, squares):
    truth, predicted = squares((5, 5)), squares((5, 9))  # they share 60 of 140 pixels
    assert colours_in(picture_verdicts(image, truth, predicted, 0.4)) == {Verdict.LOOSE}
    assert colours_in(picture_verdicts(image, truth, predicted, 0.5)) == {Verdict.OFF}


def test_without_nuclei_the_picture_is_the_image_in_grey(image, squares):
    picture = picture_verdicts(image, squares(), squares())
    assert np.array_equal(picture[..., 0], picture[..., 1])
    assert np.array_equal(picture[..., 0], picture[..., 2])
    order = np.argsort(image, axis=None)
    assert np.all(np.diff(picture[..., 0].ravel()[order].astype(int)) >= 0)
    assert picture.min() == 0


@pytest.mark.parametrize("verdict", VERDICT_COLOURS)
def test_every_verdict_stands_out_from_the_brightest_nucleus(image, squares, verdict):
    greys = rgb2lab(picture_verdicts(image, squares(), squares())).reshape(-1, 3)
    assert greys[:, 0].max() > 40  # nuclei are seen, of at most 100
    colour = np.array(ImageColor.getrgb(VERDICT_COLOURS[verdict]), np.uint8)
    apart = np.linalg.norm(greys - rgb2lab(colour[None, None])[0, 0], axis=1)
    assert apart.min() > 40  # 2 is just seen


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_an_image_without_contrast_can_be_pictured(squares, kind):
    picture = picture_verdicts(np.ones(SHAPE, kind), squares((5, 5)), squares((5, 5)))
    assert colours_in(picture) == {Verdict.MATCHED}


# The demo without a window


def test_the_demo_scores_the_sample_field_and_writes_its_overlay(tmp_path, oracle_of):
    field = draw_field()
    out = tmp_path / "new" / "overlay.png"
    found = run_headless(oracle_setup(oracle_of([field])), out)
    with Image.open(out) as picture:
        drawn = np.asarray(picture)
    height, width = field.image.shape
    assert drawn.shape[1:] == (width, 3)
    assert colours_in(drawn[:height]) == {Verdict.MATCHED}
    assert colours_in(drawn[height:]) == set(VERDICT_COLOURS)
    assert found.objects.tp == field.labels.max()


@pytest.mark.parametrize(
    ("display", "wayland", "there"),
    [(":0", None, True), (None, "wayland-0", True), (None, None, False), ("", "", False)],
)
def test_on_linux_a_display_is_known_by_its_name(monkeypatch, display, wayland, there):
    monkeypatch.setattr("sys.platform", "linux")
    for name, value in (("DISPLAY", display), ("WAYLAND_DISPLAY", wayland)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    assert has_display() is there


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_elsewhere_there_is_always_a_display(monkeypatch, platform):
    monkeypatch.setattr("sys.platform", platform)
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert has_display()
