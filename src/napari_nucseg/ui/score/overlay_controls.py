"""Buttons and keys for the overlays, for stepping through the errors, and for files."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from magicgui.widgets import PushButton
from qtpy.QtWidgets import QGridLayout, QMenu, QPushButton, QWidget

from napari_nucseg.analysis.objects import ObjectKey
from napari_nucseg.ui.canvas_trace import MarkedNucleus, Trace, trace_beside
from napari_nucseg.ui.keys import (
    ERRORS_ONLY,
    IGNORE,
    NEXT,
    PREVIOUS,
    REVIEWED,
    TRUTH_IS_WRONG,
    PanelKeys,
)
from napari_nucseg.ui.layer_fields import itself
from napari_nucseg.ui.layers import AGREEMENT, ERRORS, IOU
from napari_nucseg.ui.mending_tools import MENDING_KEYS
from napari_nucseg.ui.score.legend import OverlayLegend
from napari_nucseg.ui.score.model import NOTHING_COMPARED, Comparison, ComparisonState
from napari_nucseg.ui.score.overlays import Overlays

SHORTCUTS = (NEXT, PREVIOUS, ERRORS_ONLY, REVIEWED, TRUTH_IS_WRONG, IGNORE)


def describe_keys() -> str:
    """List the keys and when they work."""
    keys = ", ".join(f"{key} {key.what}" for key in SHORTCUTS)
    return (
        f"{keys}. They work while one of the compared layers is selected, or the panel has the "
        f"focus. Mending: {MENDING_KEYS}"
    )


def export_button(fill: Callable[[QMenu], None]) -> QPushButton:
    """Make the button whose menu is filled when it is opened."""
    button = QPushButton("Export")
    button.setToolTip("Write nuclei, fields, scores or a report. Plots have a Save button.")
    button.setMinimumWidth(90)
    menu = QMenu(button)
    menu.aboutToShow.connect(lambda: fill(menu))
    button.setMenu(menu)
    return button


class OverlayControls(QWidget):
    """Two rows of buttons, the keys that do the same, and the legend of the overlay in sight.

    Parameters
    ----------
    panel : QWidget
        Panel in which the keys work while it has the focus.
    overlays : Overlays
        The overlays that the buttons show and hide.
    go : callable
        Goes to the next error (1) or the one before (-1); False if there is none.
    tell : callable
        Called with a line of text, to show it.
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
        self.legend: OverlayLegend | None = None
        self._make_buttons()
        self._lay_out()
        self._connect()
        self.keys = PanelKeys(
            panel,
            {
                NEXT: partial(self.step, 1),
                PREVIOUS: partial(self.step, -1),
                ERRORS_ONLY: self.toggle_errors_only,
            },
        )

    def show_overlay(self, role: str) -> None:
        """Show an overlay."""
        if not self._overlays.show(role):
            self._tell(NOTHING_COMPARED)
            self._show_pressed()

    def toggle_errors_only(self) -> None:
        """Hide everything but the image and the errors, or bring it back."""
        if not self._overlays.toggle_errors_only():
            self._tell(NOTHING_COMPARED)
            self._show_pressed()

    def step(self, step: int) -> None:
        """Go to the next error (1), or the one before (-1), of those that are listed."""
        if not self._overlays.has_comparison:
            self._tell(NOTHING_COMPARED)
        elif not self._go(step):
            self._tell("No error is listed. Every nucleus matches, or a filter hides the errors.")

    def _make_buttons(self) -> None:
        self.errors = _button(
            "Errors",
            "Outline every nucleus in the colour of its verdict: true nuclei in a solid line, "
            "predicted ones in a broken line. Press again to hide.",
        )
        self.agreement = _button(
            "Pixels",
            "Colour the pixels: found in green, missed in red, wrongly predicted in blue. "
            "Press again to hide.",
        )
        self.iou = _button(
            "IoU",
            "Colour every true nucleus by its IoU, from yellow (0) to dark (1). Press again to "
            "hide.",
        )
        self.errors_only = _button(
            "Errors only",
            f"Show only the image and the errors, or everything again ({ERRORS_ONLY}).",
        )
        self.previous = _button("< Previous", f"Go to the previous error ({PREVIOUS}).")
        self.next = _button("Next error >", f"Go to the next error ({NEXT}).")
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
            # PySide6 would not tell a partial whether the button is pressed
            button.native.clicked.connect(
                lambda pressed, role=role: self._on_pressed(role, pressed)
            )
        self._overlays.changed.connect(self._on_overlays)
        self.errors_only.native.clicked.connect(lambda: self.toggle_errors_only())
        self.next.changed.connect(lambda: self.step(1))
        self.previous.changed.connect(lambda: self.step(-1))
        self.help.changed.connect(lambda: self._tell(f"Keys: {describe_keys()}"))

    def _on_pressed(self, role: str, pressed: bool) -> None:
        if pressed:
            self.show_overlay(role)
        else:
            self._overlays.hide(role)

    def _on_overlays(self) -> None:
        self._show_pressed()
        role = self._overlays.in_sight
        if role is None:
            if self.legend is not None:
                self.legend.setVisible(False)
            return
        if self.legend is None:  # only now, as most panels are opened to look at scores
            self.legend = OverlayLegend()
            grid = self.layout()
            assert isinstance(grid, QGridLayout)
            grid.addWidget(self.legend, 2, 0, 1, 4)
        self.legend.show_role(role)

    def _show_pressed(self) -> None:
        """Let the buttons tell what is shown, whoever has shown or hidden it."""
        only = self._overlays.is_errors_only
        for role, button in self._of_overlays.items():
            button.native.setChecked(self._overlays.is_shown(role) and not only)
        self.errors_only.native.setChecked(only)


class CurrentOutline:
    """Outlines the nucleus that was gone to, where no overlay is in sight that would.

    The labels that it belongs to may be hidden, as the truth is of which one was missed.

    Parameters
    ----------
    panel : QWidget
        Panel that is docked beside the canvas.
    state : ComparisonState
        The comparison, which tells of nuclei that are gone to.
    overlays : Overlays
        Tells which overlay is in sight.
    """

    def __init__(self, panel: QWidget, state: ComparisonState, overlays: Overlays) -> None:
        self._panel, self._state, self._overlays = panel, state, overlays
        self._trace: Trace | None = None
        self._key: ObjectKey | None = None
        state.chosen.connect(self.point_at)
        state.changed.connect(self._on_changed)
        overlays.changed.connect(self._show)

    def point_at(self, row: int) -> None:
        """Outline an object."""
        self._key = self._state.now.objects.key_of(row)
        self._show()

    def clear(self) -> None:
        """Take the outline away."""
        self._key = None
        self._show()

    def _show(self) -> None:
        now, key = self._state.now, self._key
        layer = None if key is None else now.truth if key.is_true else now.prediction
        marked = None
        if key is not None and layer is not None and self._overlays.in_sight is None:
            viewer = itself(self._state.viewer)
            marked = MarkedNucleus(viewer, itself(layer), key.plane, key.label)
            self._trace = self._trace or trace_beside(self._panel)
        if self._trace is not None:
            self._trace.mark(marked)

    def _on_changed(self, old: Comparison, new: Comparison) -> None:
        if new.truth is not old.truth or new.prediction is not old.prediction:
            self.clear()
        elif new.objects is not old.objects:
            self._show()  # by its shape now


def _button(text: str, tooltip: str) -> PushButton:
    button = PushButton(text=text, tooltip=tooltip)
    button.native.setMinimumWidth(0)
    return button
