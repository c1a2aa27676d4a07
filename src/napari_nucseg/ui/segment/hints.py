"""What the panel proposes for an image: a channel, a diameter, and another setting or model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from magicgui.widgets import Container, PushButton
from napari.components import ViewerModel
from napari.layers import Image, Labels
from numpy.typing import NDArray

from napari_nucseg.io.channels import HAEMATOXYLIN, MEAN, propose_channel
from napari_nucseg.parameter_spec import specs_of
from napari_nucseg.segmenters.api import Concern
from napari_nucseg.segmenters.parameters import SegmentParams
from napari_nucseg.ui.layers import field_shape, plane_of, shown_plane
from napari_nucseg.ui.params_form import text_line
from napari_nucseg.ui.segment.image_source import drawn_length
from napari_nucseg.ui.segment.request import Selection


class AdviceWidget(Container[Any]):
    """A line that tells of a concern, and a button that follows its advice.

    Parameters
    ----------
    follow : callable
        Called with the parameters, by name, that another run shall have.
    """

    def __init__(self, follow: Callable[[Mapping[str, Any]], None]) -> None:
        self.text = text_line()
        self.button = PushButton(text="", tooltip="Segment again with this change.")
        super().__init__(widgets=[self.text, self.button], labels=False)
        self.margins = (0, 0, 0, 0)
        self._follow = follow
        self._change: Mapping[str, Any] = {}
        self._only: int | None = None
        self.button.changed.connect(self.press)
        self.clear()

    def clear(self) -> None:
        """Say nothing."""
        self.tell({})

    def clear_elsewhere(self, plane: int) -> None:
        """Say nothing of a field that is not in sight; what is said of several stays."""
        if self._only not in (None, plane):
            self.clear()

    def tell(self, concerns: Mapping[int, Sequence[Concern]]) -> None:
        """Tell of the concerns about the fields that were segmented.

        Parameters
        ----------
        concerns : mapping
            Concerns about each field, by its number in the stack.
        """
        self._only = next(iter(concerns)) if len(concerns) == 1 else None
        told = [field[0] for field in concerns.values() if field]
        self.visible = bool(told)
        if not told:
            return
        first = told[0]
        several = f"Check {len(told)} of {len(concerns)} fields. The first: "
        self.text.value = f"{several if len(concerns) > 1 else 'Check the result. '}{first}"
        self._change = first.change
        # With several fields the good ones would be segmented anew, too
        self.button.visible = bool(first.change) and len(concerns) == 1
        self.button.text = describe_change(first.change)

    def press(self) -> None:
        """Follow the advice."""
        self._follow(self._change)


def describe_change(change: Mapping[str, Any]) -> str:
    """Say on a button what it sets.

    Examples
    --------
    >>> describe_change({"diameter": 112.0})
    'Use diameter 112 px'
    >>> describe_change({"invert": True}), describe_change({"invert": False})
    ('Switch on Dark nuclei', 'Switch off Dark nuclei')
    """
    told = []
    for name, value in change.items():
        spec = specs_of(SegmentParams)[name]
        unit = f" {spec.unit}" if spec.unit else ""
        if isinstance(value, bool):
            told.append(f"switch {'on' if value else 'off'} {spec.label}")
        else:
            told.append(f"use {spec.label.lower()} {value:g}{unit}")
    text = " and ".join(told)
    return text[:1].upper() + text[1:]


class ColourChannel:
    """Keeps the form's row of channels in step with the chosen image.

    Parameters
    ----------
    chosen : Selection
        The chosen image, and the form.
    """

    def __init__(self, chosen: Selection) -> None:
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
        return f"A colour image. Its {channel} is segmented; choose another under Channel."

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


@dataclass(frozen=True)
class Proposal:
    """A diameter in pixels, and what it was measured from."""

    diameter: float
    what: str

    def __str__(self) -> str:
        return f"Diameter {self.diameter:.1f} px: {self.what}."


def propose_diameter(
    viewer: ViewerModel, image: Image, prediction: Labels | None
) -> Proposal | None:
    """Measure the diameter of nuclei.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer, in which lines may be drawn and labels be selected.
    image : Image
        Image layer whose pixels the diameter counts.
    prediction : Labels or None
        Labels that are measured where none are selected.

    Returns
    -------
    Proposal or None
        The length of a drawn line; without one, of the nuclei in the field in sight the median
        diameter of a circle of their area, without those that its border cuts. None without
        either.
    """
    drawn = drawn_length(viewer, image)
    if drawn is not None and drawn[0] > 0:
        return Proposal(round(drawn[0], 1), f"the length of the line in {drawn[1]}")
    selected = viewer.layers.selection.active
    labels = selected if isinstance(selected, Labels) else prediction
    if labels is None or field_shape(labels)[-2:] != field_shape(image)[-2:]:
        return None
    field = np.asarray(plane_of(labels.data, shown_plane(viewer.dims.point, labels)))
    areas = _areas_of_whole(field)
    if not len(areas):
        return None
    median = float(np.median(2 * np.sqrt(areas / np.pi)))
    return Proposal(
        round(median, 1), f"the median of the {len(areas)} whole nuclei of {labels.name} in sight"
    )


def _areas_of_whole(field: NDArray[np.integer]) -> NDArray[np.integer]:
    """Count the pixels of the labels that do not touch the border."""
    ids, areas = np.unique(field, return_counts=True)
    border = np.concatenate([field[0], field[-1], field[:, 0], field[:, -1]])
    return areas[(ids > 0) & ~np.isin(ids, border)]
