"""Which images look like labels: looked at in the background, each once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image
from numpy.typing import NDArray

from napari_nucseg.io.label_rules import Likeness, find_likeness
from napari_nucseg.progress import Progress
from napari_nucseg.ui.jobs import Run
from napari_nucseg.ui.layers import record_of


class MaskWatch:
    """Tells of the Image layers of a viewer which look like labels.

    Layers in memory are looked at, of a stack the field in the middle.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer whose Image layers are looked at.
    run : callable
        Called with work to do in the background, and with what shows its result.
    found : callable
        Called with an image that turned out to look like labels.
    """

    def __init__(self, viewer: ViewerModel, run: Run, found: Callable[[Image], object]) -> None:
        self._viewer, self._run, self._found = viewer, run, found
        self._likeness: dict[str, Likeness | None] = {}

    def look(self) -> None:
        """Look at the images that were added since it was looked last."""
        for image in self._viewer.layers:
            if _may_be_mask(image) and str(image.unique_id) not in self._likeness:
                self._likeness[str(image.unique_id)] = None  # until it is known
                self._run(partial(_look_at, image.data, image.rgb), partial(self._take, image))

    def likeness_of(self, layer: Any) -> Likeness | None:
        """Tell what kind of labels a layer looks like; None if it is none, or not known yet."""
        return self._likeness.get(str(layer.unique_id))

    def _take(self, image: Image, likeness: Likeness | None) -> None:
        self._likeness[str(image.unique_id)] = likeness
        if likeness is not None and image in self._viewer.layers:
            self._found(image)


def _may_be_mask(layer: Any) -> bool:
    """Whether an image was opened by others than us, and can be looked at without reading files."""
    return (
        isinstance(layer, Image)
        and record_of(layer) is None
        and not layer.multiscale
        and isinstance(layer.data, np.ndarray)
    )


def _look_at(data: NDArray[Any], in_colour: bool, progress: Progress) -> Likeness | None:
    """Tell what the middle one of an image's fields looks like."""
    planes = data.reshape(-1, *data.shape[-3 if in_colour else -2 :])
    return find_likeness(planes[len(planes) // 2], in_colour=in_colour)
