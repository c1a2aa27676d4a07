"""Intensities of nuclei and of the background in a ring around them, and volumes in 3-D."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import distance_transform_cdt
from skimage.draw import ellipsoid

from napari_nucseg.analysis.measurements import measure_volume
from napari_nucseg.analysis.object_pixels import GAP, WIDTH, measure_intensities, rings_around


def test_a_ring_is_a_gap_away_and_so_many_pixels_wide():
    labels = np.zeros((31, 31), np.uint16)
    labels[14:17, 14:17] = 5

    ring = rings_around(labels)

    away = distance_transform_cdt(labels == 0, metric="taxicab")
    assert np.array_equal(ring == 5, (away > GAP) & (away <= GAP + WIDTH))


def test_rings_of_neighbours_share_no_pixel_and_leave_nuclei_out(drawn_fields):
    labels = drawn_fields[0].labels

    ring = rings_around(labels)

    assert not ring[labels > 0].any()
    assert set(np.unique(ring)) <= set(np.unique(labels))


def test_the_background_of_a_nucleus_is_that_around_it():
    labels = np.zeros((40, 80), int)
    labels[18:22, 18:22], labels[18:22, 58:62] = 3, 9
    image = np.where(np.arange(80) < 40, 100, 200) + np.zeros((40, 1), int)
    image[labels > 0] = 1000

    found = measure_intensities(labels, image)

    assert found["intensity_background"].tolist() == [100, 200]
    assert found["intensity_mean"].tolist() == [1000, 1000]
    assert found["intensity_sum"].tolist() == [16_000, 16_000]


def test_a_nucleus_without_room_around_it_has_no_background():
    labels = np.arange(1, 26).reshape(5, 5)

    assert np.isnan(measure_intensities(labels, labels)["intensity_background"]).all()


def test_every_channel_is_measured_by_its_name(drawn_fields):
    labels, image = drawn_fields[0].labels, drawn_fields[0].image

    found = measure_intensities(labels, image, {"red": image, "2": image * 2.0})

    for kind in ("mean", "sum", "background"):
        grey = found[f"intensity_{kind}"]
        assert np.array_equal(found[f"intensity_{kind}_red"], grey, equal_nan=True)
        assert np.allclose(found[f"intensity_{kind}_2"], 2 * grey, equal_nan=True)


def test_an_image_of_another_shape_is_refused_by_its_channel():
    with pytest.raises(ValueError, match=r"the channel red has shape \(2, 2\)"):
        measure_intensities(np.ones((3, 3), int), np.ones((3, 3)), {"red": np.ones((2, 2))})


def test_without_nuclei_there_are_columns_and_no_rows():
    empty = np.zeros((3, 8, 8), int)

    found = measure_volume(empty, empty, pixel_size=0.5, z_spacing=2.0)

    assert {len(column) for column in found.values()} == {0}


# Volumes


def test_a_volume_is_measured_in_3d_and_micrometres():
    inside = ellipsoid(4, 10, 6)
    labels = np.zeros((15, 30, 30), np.int32)
    labels[2 : 2 + inside.shape[0], 3 : 3 + inside.shape[1], 5 : 5 + inside.shape[2]] = 7 * inside
    labels[14, 29, 29] = 9

    found = measure_volume(labels, labels, pixel_size=0.5, z_spacing=2.0)

    assert found["index"].tolist() == [7, 9]
    assert found["volume_voxels"].tolist() == [inside.sum(), 1]
    assert found["volume_um3"].tolist() == [inside.sum() * 0.5, 0.5]
    assert found["planes"].tolist() == [np.count_nonzero(inside.any(axis=(1, 2))), 1]
    centre = [found[f"centroid_{axis}"][0] for axis in "zyx"]
    assert centre == pytest.approx(np.argwhere(labels == 7).mean(axis=0))
    assert found["longest_axis_um"][0] == pytest.approx(16, rel=0.1)  # 2 x 4 planes of 2 um
    assert found["shortest_axis_um"][0] == pytest.approx(6, rel=0.1)
    assert found["touches_border"].tolist() == [False, True]


def test_a_volume_without_sizes_is_measured_in_voxels():
    labels = np.ones((2, 3, 4), int)

    found = measure_volume(labels, labels, pixel_size=0.5)

    assert found["volume_voxels"].tolist() == [24]
    assert not any(name.endswith(("_um", "_um3")) for name in found)
