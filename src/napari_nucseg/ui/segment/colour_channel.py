"""The channel of colour images: proposed once for each, then as the user chose."""

from __future__ import annotations

import numpy as np
from napari.layers import Image

from napari_nucseg.core.channels import HAEMATOXYLIN, MEAN, propose_channel
from napari_nucseg.ui.layers import field_shape
from napari_nucseg.ui.segment.chosen import Chosen


class ColourChannel:
    """Keeps the form's row of channels in step with the chosen image.

    Parameters
    ----------
    chosen : Chosen
        The chosen image, and the form.
    """

    def __init__(self, chosen: Chosen) -> None:
        self._chosen = chosen
        self._row = chosen.form.channel
        self._by_image: dict[str, str] = {}
        self._row.changed.connect(self._keep)

    def show(self) -> None:
        """Show the channel that was chosen of the image, or propose one if it is new."""
        layer = self._chosen.image
        if layer is None or not layer.rgb:
            return
        uid = str(layer.unique_id)
        if uid not in self._by_image:
            self._by_image[uid] = _propose(layer, self._chosen.plane).capitalize()
        with self._row.changed.blocked():  # labels follow what the user moves alone
            self._row.value = self._by_image[uid]

    def describe(self) -> str:
        """Say in a line which channel is segmented; nothing of a grey image."""
        layer = self._chosen.image
        if layer is None or not layer.rgb:
            return ""
        name = self._row.value.lower()
        channel = name if name in (MEAN, HAEMATOXYLIN) else f"{name} channel"
        return f"A colour image: its {channel} is segmented; choose another under Channel."

    def _keep(self, channel: str) -> None:
        layer = self._chosen.image
        if layer is not None and layer.rgb:
            self._by_image[str(layer.unique_id)] = channel


def _propose(layer: Image, plane: int) -> str:
    """Propose a channel by the field in sight, at the coarsest level, which napari shows anyway."""
    data = layer.data[-1] if layer.multiscale else layer.data
    stack = field_shape(layer)[:-2]
    if stack:  # a coarse level may have fewer fields
        place = np.minimum(np.unravel_index(plane, stack), np.subtract(data.shape[:-3], 1))
        data = data[tuple(place)]
    return propose_channel(data)
