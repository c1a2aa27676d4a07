from __future__ import annotations

import doctest

from napari_nucseg import wording


def test_the_examples_are_right():
    assert doctest.testmod(wording).failed == 0
