"""What is chosen on the segment panel, looked up in the viewer."""

from __future__ import annotations

from typing import Any

from napari.components import ViewerModel
from napari.layers import Image, Labels

from napari_nucseg.ui.layers import field_shape, shown_plane
from napari_nucseg.ui.segment.form import SegmentForm
from napari_nucseg.ui.segment.predictions import find_prediction


class Chosen:
    """The chosen image, and what the chosen model made of it.

    Parameters
    ----------
    viewer : ViewerModel
        Where they are.

    Attributes
    ----------
    form : SegmentForm
        Where they are chosen.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self.form = SegmentForm(self._images)

    @property
    def image(self) -> Image | None:
        """The layer to segment."""
        layer: Image | None = self.form.image.value
        return layer

    @property
    def model(self) -> str:
        """What the model is told from others by: its name, or the whole path of a file."""
        return str(self.form.model.value)

    @property
    def prediction(self) -> Labels | None:
        """The labels that the model made of the image."""
        image = self.image
        if image is None:
            return None
        return find_prediction(self._viewer, str(image.unique_id), self.model)

    @property
    def plane(self) -> int:
        """Number of the field in sight."""
        return 0 if self.image is None else shown_plane(self._viewer.dims.point, self.image)

    @property
    def pixels(self) -> int:
        """Of a field."""
        if self.image is None:
            return 0
        height, width = field_shape(self.image)[-2:]
        return height * width

    def _images(self, widget: Any = None) -> list[Image]:
        return [layer for layer in self._viewer.layers[::-1] if isinstance(layer, Image)]
