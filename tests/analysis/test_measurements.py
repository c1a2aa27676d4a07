from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.draw import disk, ellipse
from skimage.measure import regionprops_table

from napari_nucseg.analysis.measurements import (
    Nuclei,
    describe_size,
    doubtful_first,
    measure,
    measure_volume,
)
from napari_nucseg.io.datasets import open_dataset

ALWAYS = [
    "index", "area_px", "centroid_y", "centroid_x", "intensity_mean", "intensity_sum",
    "intensity_background", "eccentricity", "solidity", "touches_border",
]  # fmt: skip
AS_SCIKIT_IMAGE = {
    "index": "label",
    "area_px": "area",
    "centroid_y": "centroid-0",
    "centroid_x": "centroid-1",
    "intensity_mean": "intensity_mean",
    "eccentricity": "eccentricity",
    "solidity": "solidity",
}


def labels_of(*rows: str) -> np.ndarray:
    """Labels in a picture: digits are nuclei, dots background."""
    return np.array([[0 if pixel == "." else int(pixel) for pixel in row] for row in rows])


def measure_shape(*rows: str) -> Nuclei:
    labels = labels_of(*rows)
    return measure(labels, np.ones(labels.shape))


def assert_as_scikit_image(labels: np.ndarray, image: np.ndarray) -> None:
    nuclei = measure(labels, image)
    names = ("label", "area", "centroid", "intensity_mean", "eccentricity", "solidity")
    expected = regionprops_table(labels, image, properties=names)
    for ours, theirs in AS_SCIKIT_IMAGE.items():
        # the root in the eccentricity turns a rounding of 1e-16 near a circle into one of 1e-8
        np.testing.assert_allclose(nuclei[ours], expected[theirs], atol=1e-6, err_msg=ours)


# Size, place and intensity


def test_two_nuclei_are_measured_by_hand() -> None:
    labels = labels_of(
        "......",
        ".22...",
        ".22..7",
        ".....7",
    )
    image = np.arange(24).reshape(4, 6)
    nuclei = measure(labels, image, pixel_size=0.5)
    assert nuclei["index"].tolist() == [2, 7]
    assert nuclei["area_px"].tolist() == [4, 2]
    assert nuclei["area_um2"].tolist() == [1.0, 0.5]
    assert nuclei["centroid_y"].tolist() == [1.5, 2.5]
    assert nuclei["centroid_x"].tolist() == [1.5, 5.0]
    assert nuclei["intensity_sum"].tolist() == [7 + 8 + 13 + 14, 17 + 23]
    assert nuclei["intensity_mean"].tolist() == [10.5, 20.0]
    assert nuclei["touches_border"].tolist() == [False, True]


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.uint16, np.int32, np.float32, np.float64])
def test_intensities_of_any_type_are_summed_without_overflow(dtype: type) -> None:
    image = np.full((300, 300), 200).astype(dtype)
    nuclei = measure(np.ones((300, 300), dtype=np.int32), image)
    assert nuclei["intensity_sum"] == 90_000 * float(image[0, 0])
    assert nuclei["intensity_mean"] == float(image[0, 0])


def test_huge_numbers_and_gaps_are_kept() -> None:
    labels = np.array([[0, 4_000_000_000, 0, 5, 5]], dtype=np.uint32)
    nuclei = measure(labels, np.ones((1, 5)))
    assert nuclei["index"].tolist() == [5, 4_000_000_000]
    assert nuclei["area_px"].tolist() == [2, 1]


@pytest.mark.parametrize(("y", "x"), [(0, 2), (4, 2), (2, 0), (2, 4)])
def test_each_side_of_the_field_is_border(y: int, x: int) -> None:
    labels = np.zeros((5, 5), dtype=np.int32)
    labels[2, 2], labels[y, x] = 1, 2
    assert measure(labels, labels)["touches_border"].tolist() == [False, True]


# Shape


@pytest.mark.parametrize("rows", [["1"], ["...", ".1.", "..."]])
def test_one_pixel_is_a_circle_that_fills_its_hull(rows: list[str]) -> None:
    nuclei = measure_shape(*rows)
    assert (nuclei["eccentricity"][0], nuclei["solidity"][0]) == (0, 1)


def test_a_line_has_eccentricity_1() -> None:
    assert measure_shape("11111")["eccentricity"] == 1


def test_an_ellipse_has_the_eccentricity_of_its_axes() -> None:
    labels = np.zeros((120, 120), dtype=np.int32)
    labels[ellipse(60, 60, 50, 30)] = 1
    nuclei = measure(labels, labels)
    assert nuclei["eccentricity"] == pytest.approx(0.8, abs=0.005)
    assert nuclei["solidity"] > 0.98


def test_a_notch_lowers_the_solidity() -> None:
    nuclei = measure_shape(
        "11111",
        "11111",
        "11.11",
        "1...1",
    )
    assert nuclei["solidity"] == 16 / 20


def test_neighbours_do_not_change_each_others_shape() -> None:
    together = labels_of("1122", "1.22", "1133")
    for number in (1, 2, 3):
        alone = measure(np.where(together == number, number, 0), together)
        of_all = measure(together, together)
        for name in set(ALWAYS) - {"intensity_background"}:  # which neighbours leave less room
            assert of_all[name][number - 1] == alone[name][0], name


@settings(deadline=None, max_examples=150)
@given(seed=st.integers(0, 2**32 - 1), filled=st.floats(0.05, 1))
def test_any_labels_are_measured_as_by_scikit_image(seed: int, filled: float) -> None:
    random = np.random.default_rng(seed)
    height, width = random.integers(1, 16, 2)
    labels = random.integers(1, 5, (height, width)) * (random.random((height, width)) < filled)
    assert_as_scikit_image(labels, random.random((height, width)))


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32 - 1))
def test_overlapping_blobs_are_measured_as_by_scikit_image(seed: int) -> None:
    random = np.random.default_rng(seed)
    labels = np.zeros((90, 110), dtype=np.int32)
    for number in random.permutation(20):
        centre, radii = random.uniform((0, 0), labels.shape), random.uniform(1, 16, 2)
        turned = random.uniform(-np.pi, np.pi)
        labels[ellipse(*centre, *radii, shape=labels.shape, rotation=turned)] = number + 1
    assert_as_scikit_image(labels, random.integers(0, 2**16, labels.shape, dtype=np.uint16))


# Doubt


def test_columns_are_there_when_they_can_be() -> None:
    labels = labels_of("1.2")
    plane = np.zeros((1, 3), dtype=np.float32)
    assert list(measure(labels, plane)) == ALWAYS
    coloured = measure(labels, plane, channels={"red": plane})
    assert set(coloured) - set(ALWAYS) == {
        f"intensity_{kind}_red" for kind in ("mean", "sum", "background")
    }
    doubted = measure(labels, plane, pixel_size=1, flow_errors=np.zeros(2), cellprob=plane)
    assert set(doubted) - set(ALWAYS) == {"area_um2", "flow_error", "cellprob_logit"}


def test_cell_probability_is_the_mean_logit_inside() -> None:
    labels = labels_of("11.3")
    cellprob = np.array([[2, 4, -6, -1]], dtype=np.float32)
    assert measure(labels, labels, cellprob=cellprob)["cellprob_logit"].tolist() == [3, -1]


def test_doubtful_first_starts_with_the_largest_flow_error() -> None:
    labels = labels_of("2.5.6.9")
    nuclei = measure(labels, labels, flow_errors=np.array([0.1, 0.7, 0.1, 0.3]))
    assert doubtful_first(nuclei).tolist() == [5, 9, 2, 6]


def test_doubtful_first_needs_flow_errors() -> None:
    with pytest.raises(ValueError, match="segment the image with a network"):
        doubtful_first(measure_shape("1"))


# A field as a whole


def test_the_median_size_is_told_in_the_unit_that_is_known() -> None:
    labels = labels_of("1.22.4444")
    assert describe_size(measure(labels, labels)) == "median area 2 px"
    assert describe_size(measure(labels, labels, pixel_size=0.5)) == "median area 0.5 µm²"
    volume, sizes = labels[None].repeat(3, axis=0), {"pixel_size": 0.5, "z_spacing": 2.0}
    assert describe_size(measure_volume(volume, volume)) == "median volume 6 voxels"
    assert describe_size(measure_volume(volume, volume, **sizes)) == "median volume 3 µm³"


def test_a_field_without_nuclei_has_empty_columns() -> None:
    empty = np.zeros((4, 5), dtype=np.int32)
    cellprob = np.zeros((4, 5), dtype=np.float32)
    nuclei = measure(empty, empty, pixel_size=0.65, flow_errors=np.zeros(0), cellprob=cellprob)
    one = measure(empty + 1, empty, pixel_size=0.65, flow_errors=np.zeros(1), cellprob=cellprob)
    assert {name: column.dtype for name, column in nuclei.items()} == {
        name: column.dtype for name, column in one.items()
    }
    assert all(column.shape == (0,) for column in nuclei.values())
    assert describe_size(nuclei) == ""
    assert doubtful_first(nuclei).tolist() == []


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"image": np.zeros((3, 4))}, "image"),
        ({"cellprob": np.zeros((3, 4))}, "cell probability"),
        ({"flow_errors": np.zeros(2)}, "flow errors"),
    ],
)
def test_arrays_of_another_field_are_refused(other: dict[str, np.ndarray], named: str) -> None:
    labels = labels_of("111", "1.1")
    with pytest.raises(ValueError, match=named):
        measure(**({"labels": labels, "image": labels} | other))


def test_a_real_field_is_measured_as_by_scikit_image(bbbc039: Path) -> None:
    field = open_dataset(bbbc039, "validation").fields[0]
    image, labels = field.read_image(), field.read_truth()
    assert_as_scikit_image(labels, image.data)
    nuclei = measure(labels, image.data, pixel_size=image.pixel_size)
    assert len(nuclei["index"]) == labels.max()
    assert 50 < np.median(nuclei["area_um2"]) < 500  # U2OS nuclei
    assert nuclei["intensity_mean"].min() > np.median(image.data)


def test_120_nuclei_are_measured_while_nobody_notices() -> None:
    labels = np.zeros((520, 696), dtype=np.int32)
    for number in range(120):
        labels[disk((24 + 50 * (number // 13), 24 + 53 * (number % 13)), 14)] = number + 1
    image = np.ones(labels.shape, dtype=np.uint16)
    cellprob = np.ones(labels.shape, dtype=np.float32)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        measure(labels, image, pixel_size=0.65, flow_errors=np.zeros(120), cellprob=cellprob)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.2
