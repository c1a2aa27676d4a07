"""Buttons for the overlays, and for stepping through the errors."""

from __future__ import annotations

from magicgui.widgets import PushButton
from qtpy.QtWidgets import QGridLayout, QWidget

from napari_nucseg.ui.score.error_keys import ERRORS_ONLY, NEXT, PREVIOUS, describe_keys


class OverlayBox(QWidget):
    """Two rows of buttons; what they do is connected by the panel."""

    def __init__(self) -> None:
        super().__init__()
        self.errors = _button("Errors", "Outline every nucleus in the colour of its verdict.")
        self.agreement = _button(
            "Pixels", "Colour the pixels: found green, missed vermilion, too much blue."
        )
        self.iou = _button(
            "IoU", "Colour every true nucleus by its IoU: from dark, nothing shared, to yellow."
        )
        self.errors_only = _button(
            "Errors only",
            f"Hide everything but the errors, or bring it back ({ERRORS_ONLY.qt}).",
        )
        self.errors_only.native.setCheckable(True)
        self.previous = _button("< Previous", f"Go to the error before ({PREVIOUS.qt}).")
        self.next = _button("Next error >", f"Go to the next error ({NEXT.qt}).")
        self.help = _button("?", f"Keys: {describe_keys()}")
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(3)
        for column, button in enumerate((self.errors, self.agreement, self.iou)):
            grid.addWidget(button.native, 0, column)
        grid.addWidget(self.errors_only.native, 0, 3)
        grid.addWidget(self.previous.native, 1, 0)
        grid.addWidget(self.next.native, 1, 1, 1, 2)
        grid.addWidget(self.help.native, 1, 3)


def _button(text: str, tooltip: str) -> PushButton:
    button = PushButton(text=text, tooltip=tooltip)
    button.native.setMinimumWidth(0)
    return button
