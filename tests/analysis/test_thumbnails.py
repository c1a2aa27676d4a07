import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ImageColor

from napari_nucseg.analysis.drawing import VERDICT_COLOURS
from napari_nucseg.analysis.thumbnails import THUMBNAIL, picture_pair, window_around
from napari_nucseg.metrics.verdicts import Verdict


@given(st.data())
def test_the_part_around_a_box_holds_it_and_lies_in_the_field(data):
    shape = data.draw(st.tuples(st.integers(1, 300), st.integers(1, 300)))
    edges = [
        sorted(data.draw(st.lists(st.integers(0, length), min_size=2, max_size=2, unique=True)))
        for length in shape
    ]
    box = (edges[0][0], edges[1][0], edges[0][1], edges[1][1])

    rows, columns = window_around(box, shape)

    assert 0 <= rows.start <= box[0] < box[2] <= rows.stop <= shape[0]
    assert 0 <= columns.start <= box[1] < box[3] <= columns.stop <= shape[1]


@pytest.mark.parametrize("shape", [(48, 48), (30, 70), (1, 1)])
def test_a_small_picture_is_square_and_has_both_outlines(shape):
    grey, true, found = np.full(shape, 50, np.uint8), np.zeros(shape, bool), np.zeros(shape, bool)
    true[5:20, 5:20] = found[8:25, 8:25] = True

    picture = picture_pair(grey, true, found, Verdict.LOOSE, THUMBNAIL)

    assert picture.shape == (THUMBNAIL, THUMBNAIL, 3)
    colours = {tuple(pixel) for pixel in picture.reshape(-1, 3).tolist() if len(set(pixel)) > 1}
    line = ImageColor.getrgb(VERDICT_COLOURS[Verdict.LOOSE])
    assert colours == ({line} if true.any() else set())
    assert (picture == 255).all(axis=2).any() == found.any()
