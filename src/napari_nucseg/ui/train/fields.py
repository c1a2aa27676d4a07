"""What there is to learn from among the layers: fields with labels, copied before a worker runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer, Shapes
from numpy.typing import NDArray
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QListWidget, QListWidgetItem

from napari_nucseg.array_types import Labels as LabelImage
from napari_nucseg.batch.train_data import TrainField
from napari_nucseg.ui.edits import corrected_planes
from napari_nucseg.ui.layer_fields import (
    count_planes,
    drawn_regions,
    field_shape,
    full_data,
    plane_of,
    read_plane,
)
from napari_nucseg.ui.layers import (
    GROUND_TRUTH,
    OVERLAYS,
    PREDICTION,
    find_image,
    record_of,
    role_of,
)
from napari_nucseg.ui.segment.image_source import (
    channels_of,
    likeliest_channel,
    shown_channel,
    source_of,
)
from napari_nucseg.wording import counted, plane_name, says

BEFORE, AFTER = "before training", "after training"
"""Roles of layers that show what a model finds in a held-out field."""
_HEIGHT = 66
"""Pixels of the list of labels."""
_KEY = Qt.ItemDataRole.UserRole


@dataclass(frozen=True)
class LabelledImage:
    """An image layer with a layer of its labels.

    Attributes
    ----------
    image, labels : Image, Labels
        The layers.
    planes : tuple of int
        Numbers of the fields that can be learned from.
    what : str
        What these fields are, in words.
    is_proposed : bool
        Whether a person has made or corrected the labels, as far as is known.
    """

    image: Image
    labels: Labels
    planes: tuple[int, ...]
    what: str
    is_proposed: bool

    @property
    def uid(self) -> str:
        """Unique id of the labels."""
        return str(self.labels.unique_id)

    @property
    def title(self) -> str:
        """Names of the layers, and what can be learned from."""
        name = self.labels.name
        of = "" if says(name, self.image.name) else f" of {self.image.name}"
        return f"{name}{of}: {self.what}"

    def stem(self, plane: int) -> str:
        """Name of a field."""
        record, planes = record_of(self.image) or record_of(self.labels), count_planes(self.labels)
        name = "" if record is None else plane_name(record.stems, plane, planes)
        several = f", field {plane + 1}" if planes > 1 else ""
        return name or f"{self.image.name}{several}"


def find_labelled(layers: Iterable[Layer]) -> tuple[list[LabelledImage], list[Labels]]:
    """Pair labels with their images, the topmost first; return labels without an image, too."""
    layers = list(layers)
    pairs: list[LabelledImage] = []
    alone: list[Labels] = []
    for labels in layers[::-1]:
        if not isinstance(labels, Labels) or role_of(labels) in (*OVERLAYS, BEFORE, AFTER):
            continue
        image = find_image(layers, labels)
        if image is None or field_shape(image) != field_shape(labels):
            alone.append(labels)
        else:
            pairs.append(LabelledImage(image, labels, *_learnable(labels)))
    return pairs, alone


class PairList(QListWidget):
    """A list of labels with their images, to be ticked."""

    def __init__(self) -> None:
        super().__init__()
        self.setMaximumHeight(_HEIGHT)
        self.setWordWrap(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setToolTip(
            "Tick the labels to learn from. Every nucleus of their fields has to be labelled; if "
            "not, draw around what is complete. Of a prediction that you corrected, the "
            "corrected fields count."
        )

    def offer(self, pairs: Sequence[LabelledImage], ticked: Iterable[str]) -> None:
        """Offer labels to learn from; those of the ids are ticked."""
        self.blockSignals(True)
        self.clear()
        for pair in pairs:
            item = QListWidgetItem(pair.title)
            item.setData(_KEY, pair.uid)
            checked = Qt.CheckState.Checked if pair.uid in ticked else Qt.CheckState.Unchecked
            item.setCheckState(checked)
            item.setToolTip(pair.title)
            self.addItem(item)
        self.blockSignals(False)

    def ticks(self) -> dict[str, bool]:
        """Tell by the ids of labels whether they are ticked."""
        items = (self.item(row) for row in range(self.count()))
        return {
            item.data(_KEY): item.checkState() == Qt.CheckState.Checked
            for item in items
            if item is not None
        }


@dataclass(frozen=True)
class FieldInput:
    """A field to be read in a worker, whatever becomes of its layers meanwhile.

    Attributes
    ----------
    stem : str
        Name of the field.
    image, labels : callable
        Return the arrays, shape (height, width).
    complete : callable
        Returns the pixels where labels are complete; None where they are everywhere.
    """

    stem: str
    image: Callable[[], NDArray[Any]]
    labels: Callable[[], LabelImage]
    complete: Callable[[], NDArray[np.bool_] | None]

    def read(self) -> TrainField:
        """Read the field.

        Raises
        ------
        ValueError
            If it cannot be learned from; the message names it.
        """
        return TrainField(self.stem, self.image(), self.labels(), (), self.complete())


def propose_ticks(pairs: Sequence[LabelledImage], by_hand: Mapping[str, bool]) -> set[str]:
    """Return the ids of labels to learn from: as ticked by hand, else one proposed an image."""
    ticked = {pair.uid for pair in pairs if by_hand.get(pair.uid)}
    images = [pair.image for pair in pairs if pair.uid in ticked]
    for pair in pairs:
        if pair.uid not in by_hand and pair.is_proposed and pair.image not in images:
            ticked.add(pair.uid)
            images.append(pair.image)
    return ticked


def copy_fields(
    viewer: ViewerModel, pairs: Sequence[LabelledImage], shapes: Shapes | None
) -> list[tuple[LabelledImage, int, FieldInput]]:
    """Copy fields as they are now, with layers and number; what is on disk is read later.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer, which knows the channel in sight.
    pairs : sequence of LabelledImage
        The layers.
    shapes : Shapes or None
        Layer of shapes inside of which labels are complete. Fields without one are left out.

    Raises
    ------
    ValueError
        If there is no field, or an image has two layers of labels.
    """
    images = [pair.image for pair in pairs]
    twice = next((image for image in images if images.count(image) > 1), None)
    if twice is not None:
        raise ValueError(f"{twice.name} is ticked with two layers of labels. Tick one.")
    found = [
        (pair, plane, field) for pair in pairs for plane, field in _copies(viewer, pair, shapes)
    ]
    if not found and shapes is not None:
        raise ValueError(f"No area is drawn in {shapes.name}. Draw around what is complete.")
    if not found:
        raise ValueError("No field has labels. Label some nuclei.")
    return found


def _copies(
    viewer: ViewerModel, pair: LabelledImage, shapes: Shapes | None
) -> Iterator[tuple[int, FieldInput]]:
    source, data = source_of(pair.image, _channel_of(viewer, pair)), full_data(pair.labels)
    in_memory = isinstance(data, np.ndarray) and not isinstance(data, np.memmap)

    def read_labels(plane: int) -> LabelImage:
        return np.array(read_plane(data, plane))

    areas = drawn_regions(pair.image, shapes)
    for plane in pair.planes:
        if shapes is None or plane in areas.by_plane:
            yield (
                plane,
                FieldInput(
                    pair.stem(plane),
                    _read_now_or_later(source.read, plane, now=source.is_in_memory),
                    _read_now_or_later(read_labels, plane, now=in_memory),
                    partial(areas.mask_of, plane),
                ),
            )


def count_fields(pairs: Sequence[LabelledImage], shapes: Shapes | None) -> int:
    """Count the fields that would be copied."""
    if shapes is None:
        return sum(len(pair.planes) for pair in pairs)
    drawn = (drawn_regions(pair.image, shapes).by_plane.keys() for pair in pairs)
    return sum(len(there & set(pair.planes)) for there, pair in zip(drawn, pairs, strict=True))


def _learnable(labels: Labels) -> tuple[tuple[int, ...], str, bool]:
    """Tell which fields of labels can be learned from, what they are, and if a hand made them."""
    record, role = record_of(labels), role_of(labels)
    planes = tuple(range(count_planes(labels)))
    if record is not None and record.fields is not None:
        planes = record.fields
    if role == PREDICTION:
        corrected = corrected_planes(labels)
        if corrected:
            return corrected, f"{counted(len(corrected), 'corrected field')}", True
        return planes, f"{counted(len(planes), 'field')}, none corrected", False
    data = full_data(labels)
    if role != GROUND_TRUTH and len(planes) > 1 and isinstance(data, np.ndarray):
        # Nobody has said that a field without labels has no nuclei
        planes = tuple(plane for plane in planes if plane_of(data, plane).any())
        return planes, f"{counted(len(planes), 'labelled field')}", True
    return planes, counted(len(planes), "field"), True


def _channel_of(viewer: ViewerModel, pair: LabelledImage) -> str:
    """Return the channel that labels were made of; else that in sight, or the likeliest."""
    image, record = pair.image, record_of(pair.labels)
    names = channels_of(image)
    if not names:
        return ""
    made = str((record.provenance or {}).get("channel") or "") if record is not None else ""
    if made in names:
        return made
    if image.rgb:
        return likeliest_channel(image, 0)
    return shown_channel(viewer, image)


def _read_now_or_later(
    read: Callable[[int], NDArray[Any]], plane: int, *, now: bool
) -> Callable[[], NDArray[Any]]:
    """Return what gives a field: a copy of it where reading takes no time, else what reads it."""
    if not now:
        return lambda: read(plane)
    field = read(plane)
    return lambda: field
