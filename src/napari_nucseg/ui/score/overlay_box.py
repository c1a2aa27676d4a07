"""Buttons and keys for the overlays, and for stepping through the errors."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from magicgui.widgets import PushButton
from qtpy.QtWidgets import QGridLayout, QWidget

from napari_nucseg.ui.layers import AGREEMENT, ERRORS, IOU
from napari_nucseg.ui.score.comparison_state import NOTHING_COMPARED
from napari_nucseg.ui.score.error_keys import (
    ERRORS_ONLY,
    NEXT,
    PREVIOUS,
    ErrorKeys,
    describe_keys,
)
from napari_nucseg.ui.score.overlay_kinds import KINDS
from napari_nucseg.ui.score.overlays import Overlays


class OverlayBox(QWidget):
    """Two rows of buttons, and the keys that do the same.

    Parameters
    ----------
    panel : QWidget
        Where the keys work while the focus is in it.
    overlays : Overlays
        What is shown.
    go : callable
        Goes to the next error (1) or the one before (-1); False if there is none.
    tell : callable
        Shows a line of text.
    """

    def __init__(
        self,
        panel: QWidget,
        overlays: Overlays,
        go: Callable[[int], bool],
        tell: Callable[[str], None],
    ) -> None:
        super().__init__()
        self._overlays, self._go, self._tell = overlays, go, tell
        self._make_buttons()
        self._lay_out()
        self._connect()
        self.keys = ErrorKeys(
            panel,
            {
                NEXT: partial(self.step, 1),
                PREVIOUS: partial(self.step, -1),
                ERRORS_ONLY: self.toggle_errors_only,
            },
        )

    def show_overlay(self, role: str) -> None:
        """Show an overlay, and say what its colours mean where the legend does not."""
        if not self._overlays.show(role):
            self._tell(NOTHING_COMPARED)
            self._show_pressed()
        elif KINDS[role].legend:
            self._tell(KINDS[role].legend)

    def toggle_errors_only(self) -> None:
        """Hide everything but the image and the errors, or bring it back."""
        if not self._overlays.toggle_errors_only():
            self._tell(NOTHING_COMPARED)
            self._show_pressed()

    def step(self, step: int) -> None:
        """Go to the next error (1), or the one before (-1), of those that are listed."""
        if not self._go(step):
            self._tell("No error is listed: every nucleus matches, or a filter hides it.")

    def _make_buttons(self) -> None:
        self.errors = _button(
            "Errors",
            "Outline every nucleus in the colour of its verdict; true ones thick, predicted ones "
            "without a match thin. Press again to hide.",
        )
        self.agreement = _button(
            "Pixels",
            "Colour the pixels: found green, missed orange-red, too much blue. Press again to "
            "hide.",
        )
        self.iou = _button(
            "IoU",
            "Colour every true nucleus by its IoU: from dark, nothing shared, to yellow. Press "
            "again to hide.",
        )
        self.errors_only = _button(
            "Errors only",
            f"Hide everything but the errors, or bring it back ({ERRORS_ONLY.qt}).",
        )
        self.previous = _button("< Previous", f"Go to the error before ({PREVIOUS.qt}).")
        self.next = _button("Next error >", f"Go to the next error ({NEXT.qt}).")
        self.help = _button("?", f"Keys: {describe_keys()}")

    def _lay_out(self) -> None:
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(3)
        for column, button in enumerate((self.errors, self.agreement, self.iou)):
            grid.addWidget(button.native, 0, column)
        grid.addWidget(self.errors_only.native, 0, 3)
        grid.addWidget(self.previous.native, 1, 0)
        grid.addWidget(self.next.native, 1, 1, 1, 2)
        grid.addWidget(self.help.native, 1, 3)

        for one in (*self._of_overlays.values(), self.errors_only):
            one.native.setCheckable(True)

    @property
    def _of_overlays(self) -> dict[str, PushButton]:
        return {ERRORS: self.errors, AGREEMENT: self.agreement, IOU: self.iou}

    def _connect(self) -> None:
        for role, button in self._of_overlays.items():
            button.native.clicked.connect(partial(self._on_pressed, role))
        self._overlays.changed.connect(self._show_pressed)
        self.errors_only.native.clicked.connect(lambda: self.toggle_errors_only())
        self.next.changed.connect(lambda: self.step(1))
        self.previous.changed.connect(lambda: self.step(-1))
        self.help.changed.connect(lambda: self._tell(f"Keys: {describe_keys()}"))

    def _on_pressed(self, role: str, pressed: bool) -> None:
        if pressed:
            self.show_overlay(role)
        else:
            self._overlays.hide(role)

    def _show_pressed(self) -> None:
        """Let the buttons tell what is shown, whoever has shown or hidden it."""
        only = self._overlays.is_errors_only
        for role, button in self._of_overlays.items():
            button.native.setChecked(self._overlays.is_shown(role) and not only)
        self.errors_only.native.setChecked(only)


def _button(text: str, tooltip: str) -> PushButton:
    button = PushButton(text=text, tooltip=tooltip)
    button.native.setMinimumWidth(0)
    return button
