from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image
from skimage.measure import label

from napari_nucseg.io.bbbc039 import colour, touching
from napari_nucseg.io.images import read_image, read_labels
from napari_nucseg.io.label_rules import Likeness, find_likeness
from napari_nucseg.io.sources import Source
from tests.conftest import sampled

blobs = arrays(
    np.uint8,
    array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12),
    elements=st.sampled_from([0, 0, 1, 2, 3]),
).map(lambda picture: label(picture, connectivity=2))


def same_objects(one, other):
    """Whether two label images differ in their numbers alone."""
    pairs = np.unique(np.stack([one.ravel(), other.ravel()]), axis=1)
    return all(len(np.unique(row)) == pairs.shape[1] for row in pairs)


@settings(deadline=None)  # the first call imports much
@given(blobs)
def test_the_objects_come_back_whatever_touches(labels):
    colours = colour(labels)
    assert colours.dtype == np.uint8
    assert np.array_equal(colours == 0, labels == 0)
    assert same_objects(label(colours, connectivity=2), labels)


@settings(deadline=None)
@given(blobs, st.integers(1, 1000))
def test_the_numbers_of_the_labels_do_not_matter(labels, step):
    spread = np.where(labels, labels * step + 7, 0)
    assert same_objects(label(colour(spread), connectivity=2), labels)


@given(blobs)
def test_neighbours_are_found_once_and_in_order(labels):
    pairs = touching(labels).tolist()
    padded = np.pad(labels, 1)
    expected = set()
    for y, x in np.argwhere(labels):
        for other in padded[y : y + 3, x : x + 3].ravel():
            if other not in (0, labels[y, x]):
                expected.add(tuple(sorted((int(labels[y, x]), int(other)))))
    assert pairs == sorted(map(list, expected))


def test_four_nuclei_around_a_point_need_four_colours():
    labels = np.kron(np.array([[1, 2], [3, 4]]), np.ones((5, 5), int))
    assert colour(labels).max() == 4


def test_a_ring_of_nuclei_needs_three_colours_at_most():
    labels = np.repeat(np.arange(1, 8), 3)[None].repeat(2, axis=0)
    assert colour(labels).max() == 2


def test_an_empty_field_stays_empty():
    assert not colour(np.zeros((4, 5), np.int32)).any()


def test_a_torn_object_is_refused_with_what_to_do():
    labels = np.zeros((5, 9), int)
    labels[1:3, 1:3] = 4
    labels[1:3, 6:8] = 4
    with pytest.raises(ValueError, match=r"1 objects are .* the first is 4; .* save a TIFF"):
        colour(labels)


@pytest.mark.slow
def test_real_masks_need_no_more_colours_than_were_published(bbbc039):
    for path in sampled(sorted((bbbc039 / "masks").iterdir())):
        labels = read_labels(Source(path))
        colours = colour(labels)
        assert colours.max() <= 3, path.name
        assert np.array_equal(label(colours, connectivity=2), labels), path.name


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(4, 255))
def test_noise_never_looks_like_labels(seed, most):
    noise = np.random.default_rng(seed).integers(0, most, (40, 40, 3), dtype=np.uint8)
    assert find_likeness(noise[..., 0], in_colour=False) is None
    assert find_likeness(noise, in_colour=True) is None


def test_real_photographs_never_look_like_labels(bbbc039, dsb2018):
    for path in [*(bbbc039 / "images").iterdir(), *(dsb2018 / "images").iterdir()][::20]:
        picture = read_image(Source(path)).data
        least, most = np.percentile(picture, [20, 99.5])
        dim = np.clip(16 * (picture.astype(float) - least) / (most - least), 0, 16).astype(np.uint8)
        assert find_likeness(picture, in_colour=False) is None, path
        assert find_likeness(dim, in_colour=False) is None, path
        assert find_likeness(np.stack([dim] * 3, axis=-1), in_colour=True) is None, path


def test_real_masks_look_like_labels(bbbc039, dsb2018):
    for path in [*(dsb2018 / "labels").iterdir()][::20]:
        assert find_likeness(read_image(Source(path)).data, in_colour=False) is Likeness.NUMBERS
    for path in [*(bbbc039 / "masks").iterdir()][::20]:
        picture = np.asarray(Image.open(path))
        if picture[..., :3].any():
            assert find_likeness(picture, in_colour=True) is Likeness.COLOURING, path
