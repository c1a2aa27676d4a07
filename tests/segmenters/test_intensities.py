from __future__ import annotations

import numpy as np
import pytest
from skimage.transform import resize

from napari_nucseg.segmenters.intensities import levels, scale_intensities


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="module")
def field(drawn_fields):
    return drawn_fields[0]


def usual(image, labels):
    """Typical scaled intensity of nuclei, and of what lies between them."""
    scaled = scale_intensities(image)
    return float(np.median(scaled[labels > 0])), float(np.median(scaled[labels == 0]))


def padded(array, value):
    """Put an image into the middle of a ground nine times its area."""
    return np.pad(array, [(edge, edge) for edge in array.shape], constant_values=value)


def test_background_becomes_0_and_nuclei_about_1(field):
    nuclei, background = usual(field.image, field.labels)
    assert 0.5 < nuclei < 1.3
    assert abs(background) < 0.15


@pytest.mark.parametrize("ground", [0, "median"])
def test_a_ground_around_the_field_changes_nothing(field, ground):
    value = np.median(field.image) if ground == "median" else ground
    around = padded(field.image, int(value))
    assert levels(around.astype(np.float32)) == pytest.approx(
        levels(field.image.astype(np.float32)), rel=0.02
    )


def test_a_noisy_ground_around_the_field_changes_little(field, rng):
    empty = field.image[field.labels == 0]
    ground = rng.normal(np.median(empty), empty.std() / 4, [3 * edge for edge in field.image.shape])
    height, width = field.image.shape
    ground[height : 2 * height, width : 2 * width] = field.image
    nuclei, _ = usual(ground, padded(field.labels, 0))
    assert nuclei == pytest.approx(usual(field.image, field.labels)[0], rel=0.2)


def test_one_saturated_blob_does_not_hide_the_nuclei(field):
    image = field.image.astype(np.float64)
    image[20:50, 30:60] = 20 * image.max()
    nuclei, _ = usual(image, field.labels)
    assert nuclei == pytest.approx(usual(field.image, field.labels)[0], rel=0.35)


def test_a_single_nucleus_in_a_large_field_is_about_1(rng):
    image = rng.normal(100, 3, (800, 1000))
    y, x = np.mgrid[-12:13, -12:13]
    image[400:425, 500:525] += 60 * (x**2 + y**2 <= 144)
    scaled = scale_intensities(image)
    assert 0.5 < scaled[412, 512] < 1.5
    assert np.abs(scaled[:300]).mean() < 0.15


@pytest.mark.parametrize(("gain", "offset"), [(3.7, 900.0), (0.01, -5.0), (1e6, 0.0)])
def test_gain_and_offset_change_nothing(field, gain, offset):
    same = scale_intensities(field.image.astype(np.float64) * gain + offset)
    np.testing.assert_allclose(same, scale_intensities(field.image), atol=0.01)


@pytest.mark.parametrize("factor", [0.5, 2, 4])
def test_magnification_changes_little(field, factor):
    shape = [int(edge * factor) for edge in field.image.shape]
    image = resize(field.image.astype(float), shape, anti_aliasing=factor < 1)
    labels = resize(field.labels, shape, order=0, preserve_range=True, anti_aliasing=False)
    nuclei, _ = usual(image, labels)
    assert nuclei == pytest.approx(usual(field.image, field.labels)[0], rel=0.35)


@pytest.mark.parametrize(
    "image",
    [np.zeros((40, 50), np.uint8), np.full((1, 1), 7.5), np.full((33, 2), 65535, np.uint16)],
)
def test_an_image_without_contrast_is_0(image):
    scaled = scale_intensities(image)
    assert scaled.shape == image.shape
    assert not scaled.any()


@pytest.mark.parametrize("shape", [(1, 5), (2, 2), (3, 700), (31, 33)])
def test_any_shape_is_finite(rng, shape):
    scaled = scale_intensities(rng.integers(0, 4096, shape).astype(np.uint16))
    assert scaled.shape == shape
    assert np.isfinite(scaled).all()


def test_planes_of_a_stack_are_scaled_together(field):
    dim = field.image // 2
    stack = scale_intensities(np.stack([field.image, dim]))
    assert stack[0].max() > 1.5 * stack[1].max()


def test_the_image_is_left_as_it_is(field):
    before = field.image.copy()
    scale_intensities(field.image)
    np.testing.assert_array_equal(field.image, before)


def test_noise_of_an_enlarged_image_is_not_taken_for_nuclei(rng):
    image = rng.normal(100, 3, (200, 250))
    image[90:110, 100:120] += 60
    large = resize(image, (800, 1000), order=1)
    scaled = scale_intensities(large)
    assert 0.5 < np.median(scaled[370:430, 410:470]) < 1.5
