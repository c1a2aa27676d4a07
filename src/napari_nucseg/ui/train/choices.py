"""What the train panel lets choose among: models that can be taught, and labels to learn from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QListWidget, QListWidgetItem

from napari_nucseg.segmenters import devices, networks
from napari_nucseg.segmenters.training.params import MODELS, SAM_MEMORY, lack_for_sam
from napari_nucseg.ui.segment.model_list import ADDED, ModelBox, ModelRow
from napari_nucseg.ui.train.fields import LabelledImage

TOO_SMALL = f"needs a GPU with {SAM_MEMORY} GB"
"""What is said of a model that the device cannot teach."""
_HEIGHT = 66
_KEY = Qt.ItemDataRole.UserRole


class StartBox(ModelBox):
    """A choice of the models that can be taught; what the device cannot teach is grey.

    Options are arguments of `ComboBox`, such as its label.
    """

    def __init__(self, **options: Any) -> None:
        self.device = "auto"
        super().__init__(**options)

    def rows(self) -> list[ModelRow]:
        """List what can be taught, and why the device cannot where that is known."""
        lack = self._lack_for_sam()
        large = {model.name for model in networks.SAMS} if lack else set()
        named = {model.name for model in MODELS}
        return [
            replace(row, needs=TOO_SMALL, refusal=lack) if row.key in large else row
            for row in super().rows()
            if row.key in named or (row.group == ADDED and self.files.is_there(row.key))
        ]

    def _lack_for_sam(self) -> str:
        """Say why the device cannot teach Cellpose-SAM; empty if it can, or is not known yet."""
        try:
            device = devices.known(self.device)
        except ValueError as error:
            return str(error)
        return "" if device is None else lack_for_sam(device)


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
