"""Which channel of a colour image shows the nuclei, as a function of its pixels alone."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from skimage.color import rgb2hed

from napari_nucseg.io import channels
from napari_nucseg.io.channels import Channel, propose_channel
from tests.drawn_histology import draw_histology


def test_the_examples_in_the_documentation_are_right():
    assert doctest.testmod(channels).failed == 0


@pytest.mark.parametrize("name", ["Haematoxylin", "hematoxylin", "HEMATOXYLIN"])
def test_both_spellings_and_any_case_are_understood(name):
    assert Channel.named(name, "last") == Channel("haematoxylin", "last")


# Haematoxylin


@pytest.mark.parametrize("kind", ["u1", "<u2", ">u2", "f2", "f4", "f8"])
@pytest.mark.parametrize("axis", [0, 2])
def test_haematoxylin_is_that_of_scikit_image_and_bright_in_nuclei(kind, axis):
    rgb, nuclei = draw_histology()
    white = 1.0 if "f" in kind else np.iinfo(kind).max
    stored = (rgb / 255 * white).astype(kind)
    found = Channel("haematoxylin").take(np.moveaxis(stored, 2, axis), axis, 3)
    expected = rgb2hed(stored.astype(np.float64) / white)[..., 0]
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)
    assert found[nuclei].min() > 3 * found[~nuclei].max()


@pytest.mark.parametrize(("kind", "white"), [("f4", 255), ("f8", 4095), ("i4", 255), ("u2", 4095)])
def test_haematoxylin_is_bright_in_nuclei_whatever_is_white(kind, white):
    rgb, nuclei = draw_histology()
    found = Channel("haematoxylin").take((rgb / 255 * white).astype(kind), 2, 3)
    assert found[nuclei].min() > found[~nuclei].max() + 0.05


def test_transparency_does_not_count():
    rgb, _ = draw_histology()
    rgba = np.dstack([rgb, np.zeros_like(rgb[..., 0])])
    take = Channel("haematoxylin").take
    np.testing.assert_array_equal(take(rgba, 2, 3), take(rgb, 2, 3))


# What is proposed


def dim(red, green, blue):
    """Discs on dark ground, in three brightnesses, with noise."""
    rows, columns = np.indices((90, 100))
    discs = (rows % 30 - 15) ** 2 + (columns % 25 - 12) ** 2 < 60
    image = np.random.default_rng(3).normal(20, 1, (90, 100, 3))
    image[discs] += red, green, blue
    return image.astype(np.uint8)


@pytest.mark.parametrize(
    ("brightness", "proposed"),
    [
        ((10, 20, 200), "blue"),
        ((10, 200, 20), "green"),
        ((200, 20, 10), "red"),
        ((200, 200, 200), "mean"),
        ((150, 20, 200), "mean"),
    ],
    ids=str,
)
@pytest.mark.parametrize("gain", [1, 257.0, 1 / 255])
def test_on_dark_ground_the_colour_with_the_contrast_is_proposed(brightness, proposed, gain):
    assert propose_channel(dim(*brightness) * gain) == proposed


@pytest.mark.parametrize("gain", [1, 257.0, 1 / 255])
def test_on_bright_ground_haematoxylin_is_proposed(gain):
    assert propose_channel(draw_histology()[0] * gain) == "haematoxylin"


@pytest.mark.parametrize(
    "image",
    [
        np.full((40, 50, 3), (240, 150, 60), np.uint8),
        np.full((40, 50, 3), np.nan),
        np.zeros((0, 50, 3)),
        np.zeros((1, 1, 4)),
    ],
    ids=["constant", "NaN", "empty", "one pixel"],
)
def test_where_nothing_can_be_told_the_mean_is_proposed(image):
    assert propose_channel(image) == "mean"


def test_few_pixels_of_a_large_picture_are_read():
    class Large:
        shape = (40_000, 300, 4)

        def __getitem__(self, key):
            counts = [
                len(range(*one.indices(edge))) for one, edge in zip(key, self.shape, strict=True)
            ]
            assert counts[0] <= 256
            assert counts[1] <= 256
            assert counts[2] == 3
            return np.zeros(counts)

    assert propose_channel(Large()) == "mean"
