from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter
from skimage.filters import threshold_otsu
from skimage.measure import label, regionprops

from napari_nucseg.io.synthetic import PIXEL_SIZE_UM, SyntheticField, draw_field

NEIGHBOURS_AHEAD = ((0, 1), (1, -1), (1, 0), (1, 1))


@pytest.fixture(scope="module")
def field() -> SyntheticField:
    return draw_field()


def touching_pairs(labels: NDArray[np.int32]) -> set[tuple[int, int]]:
    rows, columns = labels.shape
    padded = np.pad(labels, 1)
    pairs = set()
    for down, right in NEIGHBOURS_AHEAD:
        beside = padded[1 + down : 1 + down + rows, 1 + right : 1 + right + columns]
        meet = (labels > 0) & (beside > 0) & (labels != beside)
        pairs |= set(zip(labels[meet].tolist(), beside[meet].tolist(), strict=True))
    return {(min(pair), max(pair)) for pair in pairs}


def areas(labels: NDArray[np.int32]) -> NDArray[np.int64]:
    return np.bincount(labels.ravel())[1:]


def background(field: SyntheticField) -> NDArray[np.uint16]:
    """Pixels whose 31 x 31 surroundings hold no nucleus, so that no blur reaches them."""
    far = maximum_filter(field.labels, 31) == 0
    return np.asarray(field.image[far])


def overlap_with_bright_pixels(field: SyntheticField, shift: tuple[int, int]) -> float:
    bright = field.image > threshold_otsu(field.image)
    nuclei = np.roll(field.labels > 0, shift, axis=(0, 1))
    return float((bright & nuclei).sum() / (bright | nuclei).sum())


def test_the_sample_has_the_format_of_bbbc039(field: SyntheticField) -> None:
    assert field.image.shape == field.labels.shape == (520, 696)
    assert field.image.dtype == np.uint16
    assert field.labels.dtype == np.int32
    assert field.image.max() < 2**12
    assert PIXEL_SIZE_UM == 0.645


def test_the_sample_holds_the_hundred_objects_asked_for(field: SyntheticField) -> None:
    assert np.array_equal(np.unique(field.labels), np.arange(101))


def test_the_same_seed_draws_the_same_field(field: SyntheticField) -> None:
    again = draw_field(0)
    assert np.array_equal(again.image, field.image)
    assert np.array_equal(again.labels, field.labels)


def test_another_seed_draws_other_nuclei_and_other_noise(field: SyntheticField) -> None:
    other = draw_field(1)
    assert not np.array_equal(other.labels, field.labels)
    assert not np.array_equal(draw_field(1, nuclei=0).image, draw_field(2, nuclei=0).image)


def test_drawing_leaves_numpys_global_random_state_alone() -> None:
    np.random.seed(7)
    expected = np.random.random(5)
    np.random.seed(7)
    draw_field(3, shape=(60, 60), nuclei=3)
    assert np.array_equal(np.random.random(5), expected)


def test_a_field_without_nuclei_is_dark_background_brighter_in_its_middle() -> None:
    empty = draw_field(nuclei=0)
    assert not empty.labels.any()
    assert 110 < empty.image.min() < empty.image.max() < 250
    middle, corner = empty.image[230:290, 310:390], empty.image[:60, :80]
    assert 5 < middle.mean() - corner.mean() < 25


@pytest.mark.parametrize("seed", range(6))
def test_ten_objects_include_a_touching_pair_and_debris(seed: int) -> None:
    labels = draw_field(seed, nuclei=10).labels
    assert touching_pairs(labels)
    assert areas(labels).min() < 100


@pytest.mark.parametrize("seed", range(6))
def test_ten_objects_include_a_bright_thin_metaphase_plate(seed: int) -> None:
    field = draw_field(seed, nuclei=10)
    objects = regionprops(field.labels, field.image)
    brightness = [np.median(nucleus.image_intensity[nucleus.image]) for nucleus in objects]
    brightest = objects[int(np.argmax(brightness))]
    assert max(brightness) > 2 * np.median(brightness)
    assert 100 < brightest.area < 350
    assert brightest.eccentricity > 0.85


def test_labels_are_those_that_decoding_a_coloured_mask_returns(field: SyntheticField) -> None:
    pairs = touching_pairs(field.labels)
    colours = np.zeros(field.labels.max() + 1, dtype=np.uint8)
    for nucleus in range(1, len(colours)):
        taken = {colours[other] for pair in pairs if nucleus in pair for other in pair}
        colours[nucleus] = min(set(range(1, 9)) - taken)
    assert np.array_equal(label(colours[field.labels]), field.labels)


def test_the_truth_lies_where_the_image_is_bright(field: SyntheticField) -> None:
    in_place = overlap_with_bright_pixels(field, (0, 0))
    assert in_place > 0.85
    for shift in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        assert overlap_with_bright_pixels(field, shift) < in_place


def test_sizes_and_contacts_are_those_of_real_fields(field: SyntheticField) -> None:
    assert 500 < np.median(areas(field.labels)) < 750
    touching = {nucleus for pair in touching_pairs(field.labels) for nucleus in pair}
    assert 0.15 < len(touching) / field.labels.max() < 0.4
    assert 0.03 < np.mean(areas(field.labels) < 100) < 0.15


def test_some_nuclei_are_cut_by_the_border_as_bright_as_the_others(field: SyntheticField) -> None:
    border = np.ones(field.labels.shape, dtype=bool)
    border[1:-1, 1:-1] = False
    cut = np.unique(field.labels[border & (field.labels > 0)])
    assert 5 <= len(cut) <= 35
    inside = np.median(field.image[~border & (field.labels > 0)])
    assert np.median(field.image[border & (field.labels > 0)]) > 0.6 * inside


def test_brightness_differs_between_nuclei_and_inside_them(field: SyntheticField) -> None:
    level = float(np.median(background(field)))
    whole = [n for n in regionprops(field.labels, field.image) if 400 < n.area < 1300]
    medians = np.array([np.median(n.image_intensity[n.image]) for n in whole]) - level
    assert 350 < np.median(medians) < 700
    assert 0.2 < np.std(np.log(medians)) < 0.5
    deviations = [n.image_intensity[n.image].std() for n in whole]
    assert 0.08 < np.median(deviations / medians) < 0.35


def test_background_noise_is_the_shot_noise_of_the_real_camera(field: SyntheticField) -> None:
    plain = draw_field(nuclei=0).image.astype(float)
    noise = np.diff(plain, axis=1).std() / np.sqrt(2)
    assert 3.5 < noise < 5.5
    assert 130 < np.median(background(field)) < 175


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    shape=st.tuples(st.integers(1, 120), st.integers(1, 120)),
    nuclei=st.integers(0, 20),
)
def test_any_shape_gives_whole_consecutive_objects(
    seed: int, shape: tuple[int, int], nuclei: int
) -> None:
    field = draw_field(seed, shape=shape, nuclei=nuclei)
    assert field.image.shape == field.labels.shape == shape
    assert field.labels.max() <= nuclei
    assert np.array_equal(label(field.labels), field.labels)


def test_the_border_of_a_small_field_cuts_no_object_in_two() -> None:
    for seed in range(24):
        labels = draw_field(seed, shape=(30, 30), nuclei=20).labels
        assert np.array_equal(label(labels), labels), f"seed {seed}"


def test_a_full_field_takes_no_more_nuclei() -> None:
    field = draw_field(shape=(64, 64), nuclei=1_000_000)
    assert 4 < field.labels.max() < 100


def test_a_single_pixel_is_a_field_without_nuclei() -> None:
    field = draw_field(shape=(1, 1))
    assert field.image.shape == (1, 1)
    assert field.labels.tolist() == [[0]]


@pytest.mark.parametrize("shape", [(0, 696), (520, -1), (520,), (3, 520, 696)])
def test_a_field_without_rows_and_columns_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"pass \(rows, columns\)"):
        draw_field(shape=shape)  # type: ignore[arg-type]


def test_fewer_than_no_nuclei_are_refused() -> None:
    with pytest.raises(ValueError, match="-3 nuclei: pass 0 or more"):
        draw_field(nuclei=-3)
