"""Masks that were opened as images: found in the background, and offered as labels."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels
from numpy.typing import NDArray
from qtpy.QtWidgets import QGridLayout, QPushButton, QWidget

from napari_nucseg.array_types import Labels as LabelImage
from napari_nucseg.io.label_rules import (
    Likeness,
    decode_colouring,
    find_likeness,
    number_colours,
    take_labels,
)
from napari_nucseg.progress import Progress
from napari_nucseg.ui.jobs import Run
from napari_nucseg.ui.layers import MASK_IMAGE, placement, record_of
from napari_nucseg.ui.widgets import TextLine, tight

_CONTOUR = 2
"""Width of the outlines that labels are shown as, so that image and prediction are seen, too."""


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


class MaskOffer(QWidget):
    """A line that is seen while an Image layer looks like labels, and makes labels of it.

    Layers in memory are looked at, of a stack the field in the middle.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer whose Image layers are looked at, and which labels are added to.
    run : callable
        Called with work to do in the background, and with what shows its result.
    tell : callable
        Called with a line of text, to show it.
    """

    def __init__(self, viewer: ViewerModel, run: Run, tell: Callable[[str], None]) -> None:
        super().__init__()
        self._viewer, self._run, self._tell = viewer, run, tell
        self._masks = MaskWatch(viewer, run, lambda image: self._offer())
        self._offered: Image | None = None
        self._in_work: set[str] = set()
        self.text = TextLine(label="")
        self.use = QPushButton()
        self.separate = QPushButton("Separate nuclei")
        self.separate.setToolTip(
            "Add a Labels layer in which each piece of the mask is a nucleus. Nuclei that touch "
            "are one piece. The image stays as it is."
        )
        self.use.clicked.connect(lambda: self._take(separate=False))
        self.separate.clicked.connect(lambda: self._take(separate=True))
        grid = tight(QGridLayout(self), 3)
        grid.addWidget(self.text.native, 0, 0, 1, 2)
        grid.addWidget(self.separate, 1, 0)
        grid.addWidget(self.use, 1, 1)
        self.look()

    @property
    def advice(self) -> str:
        """Say what to press so that an image can be scored; nothing where none is offered."""
        if self._offered is None:
            return ""
        button = self.separate if self.separate.isVisibleTo(self) else self.use
        return f"{self._offered.name} looks like labels. Press {button.text()} above first."

    def look(self) -> None:
        """Look at the images that were added, and offer the first that looks like labels."""
        self._masks.look()
        self._offer()

    def _offer(self) -> None:
        """Show the line of the first image that no labels were made from, or none."""
        taken = {layer.metadata.get(MASK_IMAGE) for layer in self._viewer.layers}
        self._offered = next(
            (
                image
                for image in self._viewer.layers
                if self._masks.likeness_of(image)
                and str(image.unique_id) not in taken | self._in_work
            ),
            None,
        )
        self.setVisible(self._offered is not None)
        if self._offered is not None:
            self._describe(self._offered, self._masks.likeness_of(self._offered))

    def _describe(self, image: Image, likeness: Likeness | None) -> None:
        assert likeness is not None
        is_binary = likeness is Likeness.BINARY
        hint = "All nuclei have one value." if is_binary else "Only Labels layers can be scored."
        self.text.value = f"{image.name} looks like {likeness.value}. {hint}"
        self.separate.setVisible(is_binary)
        self.use.setText("Use as one nucleus" if is_binary else "Use as labels")
        self.use.setToolTip(
            f"Add a Labels layer in which {_MEANINGS[likeness]}. The image stays as it is."
        )

    def _take(self, *, separate: bool) -> None:
        image = self._offered
        if image is None:
            return
        key = str(image.unique_id)
        likeness = self._masks.likeness_of(image)
        self._in_work.add(key)
        separate = separate or likeness is Likeness.COLOURING
        work = partial(_make_labels, image.data, image.rgb, separate)
        job = self._run(work, partial(self._add, image))
        job.finished.connect(lambda: self._on_made(key))
        self._tell(f"Making labels of {image.name}...")
        self._offer()

    def _on_made(self, key: str) -> None:
        """Offer an image again if its labels could not be made, or once they are deleted."""
        self._in_work.discard(key)
        self._offer()

    def _add(self, image: Image, labels: LabelImage) -> None:
        """Show labels where their image lies, unless it is gone."""
        if image in self._viewer.layers:
            self._tell(f"{image.name} was added as a Labels layer. Its image is hidden.")
            image.visible = False  # it would cover the image whose nuclei these are
            made = {MASK_IMAGE: str(image.unique_id)}
            placed = placement(image)
            layer = Labels(labels, name=f"{image.name} labels", metadata=made, **placed)
            layer.contour = _CONTOUR
            self._viewer.add_layer(layer)


_MEANINGS = {
    Likeness.NUMBERS: "each value is a nucleus",
    Likeness.COLOURING: "each piece of one colour is a nucleus",
    Likeness.BINARY: "all that is not background is one nucleus",
}


def _make_labels(
    data: NDArray[Any], in_colour: bool, separate: bool, progress: Progress
) -> LabelImage:
    """Take values for labels, or each piece of one value; return an array of its own."""
    numbers = number_colours(data) if in_colour else data
    if not separate:
        labels = take_labels(numbers).data
        return labels.astype(np.int32 if labels.max(initial=0) < 2**31 else np.int64)
    made = np.zeros(numbers.shape, np.int32)
    planes = numbers.reshape(-1, *numbers.shape[-2:])
    for number, labels in enumerate(made.reshape(planes.shape)):
        progress(number, len(planes), "Separating")
        labels[...] = decode_colouring(planes[number]).data
    return made
