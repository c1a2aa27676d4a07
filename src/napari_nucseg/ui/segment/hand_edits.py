"""Asking before labels that were edited by hand are replaced, and keeping them in a copy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum, auto

from napari.components import ViewerModel
from napari.layers import Image, Labels
from qtpy.QtWidgets import QMessageBox, QWidget

from napari_nucseg.analysis.corrections import fingerprint
from napari_nucseg.ui.edits import add_copy, changes_of, count_edited_within
from napari_nucseg.ui.layers import count_planes, field_shape, plane_of
from napari_nucseg.ui.segment.image_source import Box
from napari_nucseg.ui.segment.prediction_layer import find_prediction
from napari_nucseg.ui.segment.result_cache import ResultKey
from napari_nucseg.ui.segment.undoing import notice_undo
from napari_nucseg.wording import counted

KEEP, DISCARD, CANCEL = "Keep the edits in a copy", "Discard the edits", "Cancel"

Targets = Mapping[int, Box | None]
"""What of each field is replaced, by the field's number; None for all of it."""


class Answer(Enum):
    """What is to become of edits."""

    KEEP = auto()
    DISCARD = auto()
    CANCEL = auto()


class HandEdits:
    """Guards what a person painted into predictions.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer that copies are added to.
    parent : QWidget
        Window in front of which it asks.
    """

    def __init__(self, viewer: ViewerModel, parent: QWidget) -> None:
        self._viewer = viewer
        self._parent = parent
        self._agreed: dict[tuple[str, int], int] = {}

    def count(self, image: Image, keys: Sequence[ResultKey]) -> int:
        """Count the nuclei that were edited by hand in what results would replace."""
        layer = self._layer(keys)
        if layer is None:
            return 0
        notice_undo(layer)
        return _count_edited(layer, _targets(layer, image, keys))

    def may_replace(self, image: Image, keys: Sequence[ResultKey]) -> bool:
        """Ask what becomes of edits, if there are any; False if nothing may be replaced.

        Parameters
        ----------
        image : Image
            Image layer that is segmented.
        keys : sequence of ResultKey
            Fields and boxes that are segmented, and the model.
        """
        layer = self._layer(keys)
        if layer is None:
            return True
        count = self.count(image, keys)
        answer = ask(self._parent, count) if count else Answer.DISCARD
        if answer == Answer.CANCEL:
            return False
        if answer == Answer.KEEP:
            add_copy(self._viewer, layer)
        self._agree(layer, _targets(layer, image, keys))
        return True

    def keep_late(self, image: Image, keys: Sequence[ResultKey]) -> str:
        """Keep a copy of what was painted since it was asked; say so, or nothing.

        A result may arrive long after it was asked for.
        """
        layer = self._layer(keys)
        if layer is None:
            return ""
        notice_undo(layer)
        targets = _targets(layer, image, keys)
        late = {
            plane: box
            for plane, box in targets.items()
            if self._agreed.get(_place(layer, plane)) != _fingerprint(layer, plane)
        }
        if not _count_edited(layer, late):
            return ""
        copy = add_copy(self._viewer, layer)
        self._agree(layer, range(count_planes(layer)))
        return f"What you painted meanwhile is in {copy.name}."

    def _layer(self, keys: Sequence[ResultKey]) -> Labels | None:
        return find_prediction(self._viewer, keys[0].source, keys[0].model)

    def _agree(self, layer: Labels, planes: Iterable[int]) -> None:
        for plane in planes:
            self._agreed[_place(layer, plane)] = _fingerprint(layer, plane)


def ask(parent: QWidget, count: int) -> Answer:
    """Ask what is to become of nuclei that were edited by hand and would be replaced."""
    box = QMessageBox(parent)
    box.setIcon(QMessageBox.Icon.Question)
    box.setWindowTitle("Edited by hand")
    were = "was" if count == 1 else "were"
    box.setText(f"{counted(count, 'nucleus')} {were} edited by hand.")
    box.setInformativeText("The new labels will replace these, without the edits.")
    keep = box.addButton(KEEP, QMessageBox.ButtonRole.AcceptRole)
    discard = box.addButton(DISCARD, QMessageBox.ButtonRole.DestructiveRole)
    cancel = box.addButton(CANCEL, QMessageBox.ButtonRole.RejectRole)
    box.setDefaultButton(keep)
    box.setEscapeButton(cancel)
    box.exec()
    clicked = box.clickedButton()
    box.deleteLater()
    if clicked is keep:
        return Answer.KEEP
    return Answer.DISCARD if clicked is discard else Answer.CANCEL


def _targets(layer: Labels, image: Image, keys: Iterable[ResultKey]) -> Targets:
    """List what results replace of labels: all of them if they fit their image no more."""
    if layer.data.shape != field_shape(image):
        return dict.fromkeys(range(count_planes(layer)))
    targets: dict[int, Box | None] = {}
    for key in keys:  # of several parts of a field all of it counts
        targets[key.plane] = None if key.plane in targets else key.segmented
    return targets


def _count_edited(layer: Labels, targets: Targets) -> int:
    return sum(
        changes_of(layer, plane).nuclei
        if box is None
        else count_edited_within(layer, plane, box.slices)
        for plane, box in targets.items()
    )


def _place(layer: Labels, plane: int) -> tuple[str, int]:
    return str(layer.unique_id), plane


def _fingerprint(layer: Labels, plane: int) -> int:
    return fingerprint(plane_of(layer.data, plane))
